//! What is secret in a request stays so when a server quotes it.

use probe_testkit::{run, single};
use probe_websocket::KIND;
use stack::websocket::shared;

use crate::PATIENCE;

/// Expects that a server quotes `secret`, which the settings hold as well, and that nobody sees it.
async fn assert_masked(user: &str, path: &str, settings: &str, secret: &str) {
    let at = shared().unwrap();
    let url = format!("url = 'ws://{user}{at}/close/1008/{secret}{path}'\n{settings}\n");
    let outcome = run(&single(&KIND, "websocket", &url), PATIENCE).await;
    let expected = "ping: the server closed the WebSocket with code 1008 (policy violation): ***";
    assert_eq!(outcome.line(), format!("{expected} ({at})"));
}

#[tokio::test]
async fn a_server_that_quotes_a_secret_gives_none_away() {
    let header = |name: &str, value: &str| format!("headers = {{ {name} = '{value}' }}");
    assert_masked("", "", &header("X-Api-Key", "of-a-header"), "of-a-header").await;
    let bearer = header("authorization", "Bearer of-a-bearer");
    assert_masked("", "", &bearer, "of-a-bearer").await;
    assert_masked("me:of-a-user@", "", "", "of-a-user").await;
    // What Basic authorization makes of `me:of-a-user-too`.
    assert_masked("me:of-a-user-too@", "", "", "bWU6b2YtYS11c2VyLXRvbw==").await;
    assert_masked("", "?key=of-a-query", "", "key=of-a-query").await;
}
