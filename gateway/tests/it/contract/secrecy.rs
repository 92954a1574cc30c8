//! Neither the token nor anything else that a caller sends is logged.

use gateway::http::ServerLimits;

use super::client::{RIGHT, Server, get, request, soon};
use super::disconnects::{Event, never_reporting};
use super::fake_source::FakeSource;
use super::log;

/// A part of everything that callers send here, the token included.
const SECRET: &str = "right-token";

#[tokio::test]
async fn nothing_of_a_request_is_logged() {
    let server = Server::start(&FakeSource::new(), ServerLimits::default()).await;
    let secret = ("X-Secret", SECRET);
    let query = format!("{RIGHT}?{SECRET}={SECRET}");
    for (status, request) in [
        (200, request("GET", RIGHT, &[secret, ("User-Agent", SECRET), ("Referer", RIGHT)])),
        (200, request("GET", RIGHT, &[("Authorization", "JWT right-token"), ("Cookie", SECRET)])),
        (200, request("GET", &query, &[("Accept", "*/*, right-token/x"), ("Prefer", SECRET)])),
        (200, request("GET", &format!("http://{SECRET}:{SECRET}@{SECRET}{RIGHT}"), &[])),
        (200, request("OPTIONS", RIGHT, &[])),
        (200, request("GET", RIGHT, &[("Content-Length", "11")]) + SECRET),
        (404, get(&format!("{RIGHT}?format={SECRET}"))),
        (404, get(&format!("/{SECRET}"))),
        (405, get(&format!("/api/health/not-{SECRET}/"))),
        (405, request("GET", RIGHT, &[("Authorization", "JWT not-right-token")])),
        (405, request(SECRET, RIGHT, &[])),
        (406, request("GET", RIGHT, &[("Accept", SECRET)])),
        (431, request("GET", RIGHT, &[secret; 101])),
        (400, format!("GET {RIGHT} HTTP/1.1\r\n{SECRET}\r\n\r\n")),
        (400, format!("{SECRET}\r\n\r\n")),
    ] {
        assert_eq!(server.exchange(&request).await.status, status, "{request}");
    }
    let log = log::of_this_thread();
    assert!(log.contains("status=406"), "{log}");
    assert!(!log.contains("status=200"), "a success is not logged:\n{log}");
    assert!(!log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn nothing_of_a_request_is_logged_when_the_caller_disconnects() {
    let (source, mut events) = never_reporting();
    let mut server = Server::start(&source, ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    assert_eq!(soon(events.recv()).await, Some(Event::Started));
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    // The end of the connection is logged before the server ends.
    server.stop();
    server.ended().await;
    let log = log::of_this_thread();
    assert!(log.contains("connection failed peer="), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn a_panic_is_answered_without_its_message_and_the_connection_stays_open() {
    let source = FakeSource::with_report(|| async { panic!("the password is {SECRET}") });
    let server = Server::start(&source, ServerLimits::default()).await;
    let mut caller = server.connect().await;
    for _ in 0..2 {
        caller.send(get(RIGHT)).await;
        let response = caller.response().await;
        assert_eq!(response.status, 500);
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.body, r#"{"detail":"A server error occurred."}"#);
    }
    let log = log::of_this_thread();
    assert!(log.contains("status=500"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains("password"), "{log}");
}
