//! A report is dropped when its caller disconnects.

use std::sync::Arc;

use gateway::http::ServerLimits;
use gateway::report::Report;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::client::{Caller, RIGHT, Server, get, request, soon};
use super::fake_source::FakeSource;

/// An event of a report that never ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The report was started.
    Started,
    /// The report was dropped.
    Dropped,
}

#[tokio::test]
async fn a_report_is_dropped_when_its_caller_closes_the_connection() {
    let (_server, mut events, caller) = waiting(get(RIGHT)).await;
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
}

#[tokio::test]
async fn a_report_is_dropped_when_its_caller_resets_the_connection() {
    let (_server, mut events, caller) = waiting(get(RIGHT)).await;
    caller.stream.set_zero_linger().expect("a socket's option");
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
}

#[tokio::test]
async fn a_report_is_dropped_when_its_caller_closes_the_sending_side() {
    let (_server, mut events, mut caller) = waiting(get(RIGHT)).await;
    caller.stream.shutdown().await.expect("the connection is open");
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn a_report_is_dropped_when_its_caller_disconnects_after_a_body() {
    let sent = request("GET", RIGHT, &[("Content-Length", "5")]) + "hello";
    let (_server, mut events, caller) = waiting(sent).await;
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
}

#[tokio::test]
async fn a_report_is_dropped_when_its_caller_disconnects_halfway_through_a_body() {
    let sent = request("GET", RIGHT, &[("Content-Length", "5")]) + "he";
    let (_server, mut events, caller) = waiting(sent).await;
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
}

#[tokio::test]
async fn a_caller_that_disconnects_does_not_affect_another() {
    let (server, mut events, caller) = waiting(get(RIGHT)).await;
    let mut other = server.connect().await;
    other.send(get(RIGHT)).await;
    assert_eq!(soon(events.recv()).await, Some(Event::Started));
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    assert!(events.is_empty(), "the other report is still awaited");
}

/// A server with reports that never end, and a caller that waits for one.
async fn waiting(request: String) -> (Server, UnboundedReceiver<Event>, Caller) {
    let (source, mut events) = never_reporting();
    let server = Server::start(&source, ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request).await;
    assert_eq!(soon(events.recv()).await, Some(Event::Started));
    (server, events, caller)
}

/// A source of reports that never end, and their events.
pub(super) fn never_reporting() -> (FakeSource, UnboundedReceiver<Event>) {
    let (events, received) = unbounded_channel();
    let events = Arc::new(events);
    let source = FakeSource::with_report(move || {
        let events = events.clone();
        async move {
            let _guard = EventGuard::new(events);
            std::future::pending::<Report>().await
        }
    });
    (source, received)
}

/// Sends [`Event::Started`] when it is created and [`Event::Dropped`] when it is dropped.
struct EventGuard(Arc<UnboundedSender<Event>>);

impl EventGuard {
    fn new(events: Arc<UnboundedSender<Event>>) -> Self {
        events.send(Event::Started).expect("the test listens");
        Self(events)
    }
}

impl Drop for EventGuard {
    fn drop(&mut self) {
        // At the end of a test the receiver may be gone.
        drop(self.0.send(Event::Dropped));
    }
}
