//! The end of the server: whoever has asked is answered, nobody else holds it up.

use std::sync::Arc;
use std::time::Duration;

use gateway::http::Limits;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::client::{Caller, RIGHT, Server, get, request, soon};
use super::hanging_up::{Event, never};
use super::stand_in::StandIn;

/// More than a server takes up at a time.
const CALLERS: usize = 50;

#[tokio::test]
async fn an_answer_under_way_is_finished() {
    let (stand_in, begun, go) = StandIn::held();
    let mut server = Server::start(&stand_in, Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    soon(begun.acquire()).await.expect("it stays open").forget();
    server.stop();
    closed_to_newcomers(&server).await;
    go.add_permits(1);
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(caller.closed().await, b"");
    server.ended().await;
}

#[tokio::test]
async fn idle_connections_are_closed_at_once() {
    let mut server = Server::start(&StandIn::reporting(), Limits::default()).await;
    let mut idle = server.connect().await;
    idle.send(get(RIGHT)).await;
    assert_eq!(idle.answer().await.status, 200);
    server.stop();
    assert_eq!(idle.closed().await, b"");
    server.ended().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_ever_sent_does_not_hold_up_the_end() {
    let mut server = Server::start(&StandIn::reporting(), Limits::default()).await;
    let mut silent = server.connect().await;
    server.assert_serving().await;
    server.stop();
    assert_eq!(silent.closed().await, b"");
    server.ended().await;
}

#[tokio::test]
async fn answers_that_are_never_made_do_not_hold_up_the_end() {
    let (stand_in, mut events) = never();
    let limits = Limits { drain: Duration::from_millis(100), ..Limits::default() };
    let mut server = Server::start(&stand_in, limits).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    assert_eq!(soon(events.recv()).await, Some(Event::Begun));
    server.stop();
    server.ended().await;
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn callers_in_the_backlog_are_answered_a_few_at_a_time() {
    let limits = Limits { connections: 4, ..Limits::default() };
    let mut server = Server::start(&StandIn::reporting(), limits).await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        // Nothing is awaited here: the server runs on this very thread, and cannot accept anything meanwhile.
        let stream = std::net::TcpStream::connect(server.address).expect("the server listens");
        stream.set_nonblocking(true).expect("a socket's option");
        callers.push(Caller::new(TcpStream::from_std(stream).expect("a runtime")));
    }
    server.stop();
    for caller in &mut callers {
        caller.send(closing()).await;
    }
    answered(&mut callers).await;
    server.ended().await;
}

#[tokio::test]
async fn a_caller_whose_turn_has_not_come_yet_is_answered() {
    let (stand_in, begun, go) = StandIn::held();
    let limits = Limits { connections: 1, accept_wait: Duration::MAX, ..Limits::default() };
    let mut server = Server::start(&stand_in, limits).await;
    let mut callers = [server.connect().await, server.connect().await];
    for caller in &mut callers {
        caller.send(closing()).await;
    }
    soon(begun.acquire()).await.expect("it stays open").forget();
    // By then the second one has been accepted and waits, or is about to be.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    server.stop();
    go.add_permits(2);
    answered(&mut callers).await;
    server.ended().await;
}

#[tokio::test]
async fn callers_that_have_connected_but_not_asked_yet_are_answered() {
    let mut server = Server::start(&StandIn::reporting(), Limits::default()).await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(server.connect().await);
    }
    // Connections are accepted in their order, so that by now all are.
    server.assert_serving().await;
    server.stop();
    closed_to_newcomers(&server).await;
    for caller in &mut callers {
        caller.send(closing()).await;
    }
    answered(&mut callers).await;
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_ask_while_the_end_comes_are_answered() {
    let mut server = Server::start(&StandIn::reporting(), Limits::default()).await;
    let connected = Arc::new(Barrier::new(CALLERS + 1));
    let mut asking = JoinSet::new();
    for _ in 0..CALLERS {
        let (mut caller, connected) = (server.connect().await, connected.clone());
        asking.spawn(async move {
            connected.wait().await;
            caller.send(closing()).await;
            answered(&mut [caller]).await;
        });
    }
    connected.wait().await;
    server.stop();
    soon(asking.join_all()).await;
    server.ended().await;
}

/// A request whose caller wants no second answer.
fn closing() -> String {
    request("GET", RIGHT, &[("Connection", "close")])
}

/// Checks that each caller gets a whole answer and nothing else.
async fn answered(callers: &mut [Caller]) {
    for caller in callers {
        let answer = caller.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        assert_eq!(caller.closed().await, b"");
    }
}

/// Waits until the server has heard of its end.
async fn closed_to_newcomers(server: &Server) {
    soon(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
}
