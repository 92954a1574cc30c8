//! A caller that hangs up is no longer worked for.

use std::sync::Arc;

use gateway::http::Limits;
use gateway::report::Report;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::client::{Caller, RIGHT, Server, get, request, soon};
use super::stand_in::StandIn;

/// What becomes of a report that is never made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Somebody waits for it.
    Begun,
    /// Nobody does any more.
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
async fn a_caller_that_closes_its_own_side_is_as_good_as_gone() {
    let (_server, mut events, mut caller) = waiting(get(RIGHT)).await;
    caller.stream.shutdown().await.expect("the connection is open");
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn a_report_is_dropped_when_its_caller_had_sent_a_body() {
    let sent = request("GET", RIGHT, &[("Content-Length", "5")]) + "hello";
    let (_server, mut events, caller) = waiting(sent).await;
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
}

#[tokio::test]
async fn a_report_is_dropped_when_its_caller_goes_halfway_through_a_body() {
    let sent = request("GET", RIGHT, &[("Content-Length", "5")]) + "he";
    let (_server, mut events, caller) = waiting(sent).await;
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
}

#[tokio::test]
async fn a_report_is_dropped_for_the_caller_that_hung_up_alone() {
    let (server, mut events, caller) = waiting(get(RIGHT)).await;
    let mut other = server.connect().await;
    other.send(get(RIGHT)).await;
    assert_eq!(soon(events.recv()).await, Some(Event::Begun));
    drop(caller);
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    assert!(events.is_empty(), "the other one is still waiting");
}

/// A server whose reports are never made, and a caller that waits for one.
async fn waiting(request: String) -> (Server, UnboundedReceiver<Event>, Caller) {
    let (stand_in, mut events) = never();
    let server = Server::start(&stand_in, Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request).await;
    assert_eq!(soon(events.recv()).await, Some(Event::Begun));
    (server, events, caller)
}

/// Never makes a report, and tells what becomes of those that are asked for.
pub(super) fn never() -> (StandIn, UnboundedReceiver<Event>) {
    let (events, received) = unbounded_channel();
    let events = Arc::new(events);
    let stand_in = StandIn::answering(move || {
        let events = events.clone();
        async move {
            let _waiting = Waiting::begin(events);
            std::future::pending::<Report>().await
        }
    });
    (stand_in, received)
}

struct Waiting(Arc<UnboundedSender<Event>>);

impl Waiting {
    fn begin(events: Arc<UnboundedSender<Event>>) -> Self {
        events.send(Event::Begun).expect("the test listens");
        Self(events)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // At the end of a test nobody listens any more.
        drop(self.0.send(Event::Dropped));
    }
}
