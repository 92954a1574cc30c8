//! No token, and nothing else that a caller sends, gets into the log, whatever happens.

use gateway::http::Limits;

use super::client::{RIGHT, Server, get, request, soon};
use super::hanging_up::{Event, never};
use super::log;
use super::stand_in::StandIn;

/// In everything that callers send here, the token included.
const SECRET: &str = "right-token";

#[tokio::test]
async fn nothing_of_a_request_gets_into_the_log() {
    let server = Server::start(&StandIn::reporting(), Limits::default()).await;
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
        assert_eq!(server.ask(&request).await.status, status, "{request}");
    }
    let log = log::of_this_thread();
    assert!(log.contains("status=406"), "{log}");
    assert!(!log.contains("status=200"), "what is answered as it was meant is not logged:\n{log}");
    assert!(!log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn nothing_of_a_request_gets_into_the_log_when_the_caller_hangs_up() {
    let (stand_in, mut events) = never();
    let mut server = Server::start(&stand_in, Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    assert_eq!(soon(events.recv()).await, Some(Event::Begun));
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    // By then the end of the connection is logged as well.
    server.stop();
    server.ended().await;
    let log = log::of_this_thread();
    assert!(log.contains("connection peer="), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn a_panic_is_answered_without_its_text_and_the_connection_goes_on() {
    let stand_in = StandIn::answering(|| async { panic!("the password is {SECRET}") });
    let server = Server::start(&stand_in, Limits::default()).await;
    let mut caller = server.connect().await;
    for _ in 0..2 {
        caller.send(get(RIGHT)).await;
        let answer = caller.answer().await;
        assert_eq!(answer.status, 500);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.body, r#"{"detail":"A server error occurred."}"#);
    }
    let log = log::of_this_thread();
    assert!(log.contains("status=500"), "{log}");
    assert!(!log.contains(SECRET) && !log.contains("password"), "{log}");
}
