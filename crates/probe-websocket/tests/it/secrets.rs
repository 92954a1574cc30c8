//! Secrets in a request are masked when a server quotes them.

use probe_testkit::{run, single};
use probe_websocket::KIND;
use stack::websocket::shared;

use crate::DEADLINE;

/// Asserts that `secret`, which the server quotes in a close frame, is masked.
async fn assert_masked(user: &str, path: &str, settings: &str, secret: &str) {
    let address = shared().unwrap();
    let url = format!("url = 'ws://{user}{address}/close/1008/{secret}{path}'\n{settings}\n");
    let outcome = run(&single(&KIND, "websocket", &url), DEADLINE).await;
    let expected = "ping: the server closed the WebSocket with code 1008 (policy violation): ***";
    assert_eq!(outcome.line(), format!("{expected} ({address})"));
}

#[tokio::test]
async fn a_quoted_secret_is_masked() {
    let header = |name: &str, value: &str| format!("headers = {{ {name} = '{value}' }}");
    assert_masked("", "", &header("X-Api-Key", "of-a-header"), "of-a-header").await;
    let bearer = header("authorization", "Bearer of-a-bearer");
    assert_masked("", "", &bearer, "of-a-bearer").await;
    assert_masked("me:of-a-user@", "", "", "of-a-user").await;
    // `me:of-a-user-too` in Base64, as in Basic authentication.
    assert_masked("me:of-a-user-too@", "", "", "bWU6b2YtYS11c2VyLXRvbw==").await;
    assert_masked("", "?key=of-a-query", "", "key=of-a-query").await;
}
