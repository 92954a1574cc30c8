//! TLS: whom we trust, and as whom we appear.

use probe_testkit::{Authority, Identity, Outcome, run, single};
use probe_websocket::KIND;
use stack::websocket::{Tls, Websocket};

use crate::{PATIENCE, check};

fn start(identity: Identity, client_ca: Option<String>) -> Websocket {
    let tls = Tls { certificate: identity.certificate, private_key: identity.key, client_ca };
    Websocket::start(Some(&tls)).unwrap()
}

async fn ask_tls(server: &Websocket, more: &str) -> Outcome {
    let url = format!("url = 'wss://127.0.0.1:{}/'\n{more}\n", server.port());
    run(&single(&KIND, "websocket", &url), PATIENCE).await
}

fn pem(key: &str, text: &str) -> String {
    format!("{key} = '''{text}'''\n")
}

#[track_caller]
fn assert_says(outcome: &Outcome, server: &Websocket, expected: &str) {
    assert_eq!(outcome.line(), format!("{expected} (127.0.0.1:{})", server.port()));
}

#[tokio::test]
async fn a_trusted_server_is_working_and_any_other_is_not() {
    let ours = Authority::new("ours");
    let (ca, other) = (pem("ca", &ours.pem), pem("ca", &Authority::new("other").pem));
    let server = start(ours.issue("127.0.0.1"), None);
    ask_tls(&server, &ca).await.expect_working();
    ask_tls(&server, &format!("{ca}send = 'a'\nexpect = 'a'")).await.expect_working();
    let unknown = "tls: certificate is not trusted: unknown issuer";
    assert_says(&ask_tls(&server, &other).await, &server, unknown);
    assert_says(&ask_tls(&server, "").await, &server, unknown);
    let server = start(ours.issue("elsewhere.example"), None);
    let elsewhere = "tls: certificate is not valid for host 127.0.0.1";
    assert_says(&ask_tls(&server, &ca).await, &server, elsewhere);
    let server = start(ours.issue_expired("127.0.0.1"), None);
    let outcome = ask_tls(&server, &ca).await;
    assert!(outcome.line().starts_with("tls: certificate expired "), "{outcome:?}");
}

#[tokio::test]
async fn a_server_that_wants_our_certificate_gets_it() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let server = start(ours.issue("127.0.0.1"), Some(clients.pem.clone()));
    let (ca, client) = (pem("ca", &ours.pem), clients.issue_for_user("health"));
    let own = pem("certificate", &client.certificate) + &pem("private_key", &client.key);
    ask_tls(&server, &(ca.clone() + &own)).await.expect_working();
    // Whether the reason arrives before the end of the connection is up to the kernel.
    assert!(!ask_tls(&server, &ca).await.is_working());
}

#[tokio::test]
async fn each_side_of_tls_is_told_when_the_other_lacks_it() {
    let server = start(Authority::new("ours").issue("127.0.0.1"), None);
    let plain = check(([127, 0, 0, 1], server.port()).into(), "/", "");
    let outcome = run(&plain, PATIENCE).await;
    assert!(outcome.line().starts_with("handshake: "), "{outcome:?}");
    let url = format!("url = 'wss://{}/'\n", stack::WEBSOCKET);
    let outcome = run(&single(&KIND, "websocket", &url), PATIENCE).await;
    assert!(outcome.line().starts_with("tls: "), "{outcome:?}");
}
