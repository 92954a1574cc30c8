//! Every answer has a deadline, and a report that misses it is dropped soon after.

use std::time::{Duration, Instant};

use gateway::http::ServerLimits;

use super::client::{RIGHT, Response, Server, get, request, soon};
use super::disconnects::{Event, never_reporting};
use super::fake_source::{ANSWER_TIMEOUT, FakeSource};
use super::log;

#[tokio::test]
async fn a_report_gets_the_deadline_of_its_namespace() {
    let source = FakeSource::new();
    let server = Server::start(&source, ServerLimits::default()).await;
    let before = Instant::now();
    assert_eq!(server.exchange(get(RIGHT)).await.status, 200);
    let (deadline, timeout) = source.options()[0].deadline.expect("a deadline");
    assert_eq!(timeout, ANSWER_TIMEOUT);
    assert!((before + timeout..=Instant::now() + timeout).contains(&deadline));
}

#[tokio::test]
async fn a_wait_does_not_replace_the_deadline() {
    let source = FakeSource::new();
    let server = Server::start(&source, ServerLimits::default()).await;
    server.exchange(request("GET", RIGHT, &[("Prefer", "wait=3")])).await;
    let options = source.options()[0];
    assert_eq!(options.wait, Some(Duration::from_secs(3)));
    assert!(options.deadline.is_some_and(|(_, timeout)| timeout == ANSWER_TIMEOUT));
}

#[tokio::test]
async fn a_report_that_never_ends_is_an_internal_error() {
    let (source, mut events) = never_reporting();
    let source = source.with_answer_timeout(Duration::from_millis(1));
    let server = Server::start(&source, ServerLimits::default()).await;
    let Response { status, headers, body } = server.exchange(get(RIGHT)).await;
    assert_eq!((status, body.as_str()), (500, r#"{"detail":"A server error occurred."}"#));
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(soon(events.recv()).await, Some(Event::Started));
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    let log = log::of_this_thread();
    assert!(log.contains("report missed its deadline"), "{log}");
    let answered = log.lines().find(|line| line.contains("request answered")).expect("a line");
    assert!(answered.contains("status=500"), "{answered}");
    assert!(answered.contains(r#"namespace="the-namespace""#), "{answered}");
}
