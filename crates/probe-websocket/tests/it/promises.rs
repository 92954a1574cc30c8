//! The promises of the contract, over plain text and over TLS.

use probe_testkit::{Authority, Hostile, Subject, promises};
use probe_websocket::KIND;
use stack::websocket::{Tls, Websocket, shared};
use stack::{HEALTH_PASSWORD, HEALTH_USER};

#[tokio::test]
async fn the_probe_keeps_its_promises_with_a_header_and_a_message() {
    promises(Subject {
        kind: KIND,
        section: "live",
        config: Box::new(|address| {
            format!(
                "url = 'ws://{address}/private?room=1'\n\
                 headers = {{ X-Api-Key = '{HEALTH_PASSWORD}', X-Room = 'lobby of the house' }}\n\
                 origin = 'https://app.example'\n\
                 send = 'are you there?'\n\
                 expect = 'are you there?'\n"
            )
        }),
        upstream: shared().unwrap(),
        secrets: vec![HEALTH_PASSWORD.to_owned()],
        connections: 0,
        hostile: Hostile::websocket(),
    })
    .await;
}

#[tokio::test]
async fn the_probe_keeps_its_promises_over_tls_with_a_user_and_a_ping() {
    let authority = Authority::new("websocket");
    let identity = authority.issue("127.0.0.1");
    let tls = Tls { certificate: identity.certificate, private_key: identity.key, client_ca: None };
    let server = Websocket::start(Some(&tls)).unwrap();
    let ca = authority.pem;
    promises(Subject {
        kind: KIND,
        section: "live",
        config: Box::new(move |address| {
            format!(
                "url = 'wss://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}/private'\nca = '''{ca}'''\n"
            )
        }),
        upstream: ([127, 0, 0, 1], server.port()).into(),
        secrets: vec![HEALTH_PASSWORD.to_owned()],
        connections: 0,
        hostile: Hostile::websocket(),
    })
    .await;
}
