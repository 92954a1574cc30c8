//! TLS: the server's certificate and the client's.

use std::time::Duration;

use probe_testkit::{Authority, Identity, RunOutcome, run, single};
use probe_websocket::KIND;
use stack::websocket::{Tls, Websocket};

use crate::{DEADLINE, check};

fn start(identity: Identity, client_ca: Option<String>) -> Websocket {
    let tls = Tls { certificate: identity.certificate, private_key: identity.key, client_ca };
    Websocket::start(Some(&tls)).unwrap()
}

async fn run_tls(server: &Websocket, more: &str) -> RunOutcome {
    let url = format!("url = 'wss://127.0.0.1:{}/'\n{more}\n", server.port());
    run(&single(&KIND, "websocket", &url), DEADLINE).await
}

fn pem(key: &str, text: &str) -> String {
    format!("{key} = '''{text}'''\n")
}

#[track_caller]
fn assert_fails(outcome: &RunOutcome, server: &Websocket, expected: &str) {
    assert_eq!(outcome.line(), format!("{expected} (127.0.0.1:{})", server.port()));
}

#[tokio::test]
async fn only_a_server_with_a_trusted_certificate_works() {
    let ours = Authority::new("ours");
    let (ca, other) = (pem("ca", &ours.pem), pem("ca", &Authority::new("other").pem));
    let server = start(ours.issue("127.0.0.1"), None);
    run_tls(&server, &ca).await.expect_working();
    run_tls(&server, &format!("{ca}send = 'a'\nexpect = 'a'")).await.expect_working();
    let unknown = "tls: certificate is not trusted: unknown issuer";
    assert_fails(&run_tls(&server, &other).await, &server, unknown);
    assert_fails(&run_tls(&server, "").await, &server, unknown);
    let server = start(ours.issue("elsewhere.example"), None);
    let elsewhere = "tls: certificate is not valid for host 127.0.0.1";
    assert_fails(&run_tls(&server, &ca).await, &server, elsewhere);
    let server = start(ours.issue_expired("127.0.0.1"), None);
    let outcome = run_tls(&server, &ca).await;
    assert!(outcome.line().starts_with("tls: certificate expired "), "{outcome:?}");
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_a_failure_on_request() {
    let ours = Authority::new("ours");
    let identity = ours.issue_valid_for("127.0.0.1", Duration::from_hours(13 * 12));
    let (server, ca) = (start(identity, None), pem("ca", &ours.pem));
    run_tls(&server, &format!("{ca}min_certificate_validity = '6d'")).await.expect_working();
    let outcome = run_tls(&server, &format!("{ca}min_certificate_validity = '7d'")).await;
    assert_fails(&outcome, &server, "tls: certificate expires in 6 days");
}

#[tokio::test]
async fn the_client_certificate_is_sent_to_a_server_that_demands_one() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let server = start(ours.issue("127.0.0.1"), Some(clients.pem.clone()));
    let (ca, client) = (pem("ca", &ours.pem), clients.issue_for_user("health"));
    let own = pem("certificate", &client.certificate) + &pem("private_key", &client.key);
    run_tls(&server, &(ca.clone() + &own)).await.expect_working();
    // The text is not asserted, since it depends on the kernel whether the alert arrives before the connection ends.
    assert!(!run_tls(&server, &ca).await.is_working());
}

#[tokio::test]
async fn plain_text_and_tls_are_not_compatible() {
    let server = start(Authority::new("ours").issue("127.0.0.1"), None);
    let plain = check(([127, 0, 0, 1], server.port()).into(), "/", "");
    let outcome = run(&plain, DEADLINE).await;
    assert!(outcome.line().starts_with("handshake: "), "{outcome:?}");
    let url = format!("url = 'wss://{}/'\n", stack::WEBSOCKET);
    let outcome = run(&single(&KIND, "websocket", &url), DEADLINE).await;
    assert!(outcome.line().starts_with("tls: "), "{outcome:?}");
}
