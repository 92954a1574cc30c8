//! Shutdown: every request is answered, and no other connection delays it.

use std::sync::Arc;
use std::time::Duration;

use gateway::http::ServerLimits;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::client::{Caller, RIGHT, Server, get, request, soon};
use super::disconnects::{Event, never_reporting};
use super::fake_source::FakeSource;

/// More than a server accepts at a time.
const CALLERS: usize = 50;

#[tokio::test]
async fn a_response_in_flight_is_finished() {
    let (source, started, release) = FakeSource::held();
    let mut server = Server::start(&source, ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    soon(started.acquire()).await.expect("it stays open").forget();
    server.stop();
    wait_until_closed(&server).await;
    release.add_permits(1);
    let response = caller.response().await;
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(caller.closed().await, b"");
    server.ended().await;
}

#[tokio::test]
async fn idle_connections_are_closed_at_once() {
    let mut server = Server::start(&FakeSource::new(), ServerLimits::default()).await;
    let mut idle = server.connect().await;
    idle.send(get(RIGHT)).await;
    assert_eq!(idle.response().await.status, 200);
    server.stop();
    assert_eq!(idle.closed().await, b"");
    server.ended().await;
}

#[tokio::test]
async fn a_silent_connection_does_not_delay_the_shutdown() {
    let mut server = Server::start(&FakeSource::new(), ServerLimits::default()).await;
    let mut silent = server.connect().await;
    server.assert_serving().await;
    server.stop();
    assert_eq!(silent.closed().await, b"");
    server.ended().await;
}

#[tokio::test]
async fn a_report_that_never_ends_is_dropped_when_the_drain_times_out() {
    let (source, mut events) = never_reporting();
    let limits =
        ServerLimits { drain_timeout: Duration::from_millis(100), ..ServerLimits::default() };
    let mut server = Server::start(&source, limits).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    assert_eq!(soon(events.recv()).await, Some(Event::Started));
    server.stop();
    server.ended().await;
    assert_eq!(soon(events.recv()).await, Some(Event::Dropped));
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn callers_in_the_backlog_are_answered_a_few_at_a_time() {
    let limits = ServerLimits { max_connections: 4, ..ServerLimits::default() };
    let mut server = Server::start(&FakeSource::new(), limits).await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        // The server runs on this thread, so it accepts nothing before the next await.
        let stream = std::net::TcpStream::connect(server.address).expect("the server listens");
        stream.set_nonblocking(true).expect("a socket's option");
        callers.push(Caller::new(TcpStream::from_std(stream).expect("a runtime")));
    }
    server.stop();
    for caller in &mut callers {
        caller.send(closing()).await;
    }
    assert_answered(&mut callers).await;
    server.ended().await;
}

#[tokio::test]
async fn an_accepted_connection_that_waits_for_its_turn_is_answered() {
    let (source, started, release) = FakeSource::held();
    let limits =
        ServerLimits { max_connections: 1, idle_grace: Duration::MAX, ..ServerLimits::default() };
    let mut server = Server::start(&source, limits).await;
    let mut callers = [server.connect().await, server.connect().await];
    for caller in &mut callers {
        caller.send(closing()).await;
    }
    soon(started.acquire()).await.expect("it stays open").forget();
    // This gives the server time to accept the second connection.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    server.stop();
    release.add_permits(2);
    assert_answered(&mut callers).await;
    server.ended().await;
}

#[tokio::test]
async fn connections_without_a_request_so_far_are_answered() {
    let mut server = Server::start(&FakeSource::new(), ServerLimits::default()).await;
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        callers.push(server.connect().await);
    }
    // Connections are accepted in order, so all others have been.
    server.assert_serving().await;
    server.stop();
    wait_until_closed(&server).await;
    for caller in &mut callers {
        caller.send(closing()).await;
    }
    assert_answered(&mut callers).await;
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_sent_during_the_shutdown_are_answered() {
    let mut server = Server::start(&FakeSource::new(), ServerLimits::default()).await;
    let connected = Arc::new(Barrier::new(CALLERS + 1));
    let mut exchanges = JoinSet::new();
    for _ in 0..CALLERS {
        let (mut caller, connected) = (server.connect().await, connected.clone());
        exchanges.spawn(async move {
            connected.wait().await;
            caller.send(closing()).await;
            assert_answered(&mut [caller]).await;
        });
    }
    connected.wait().await;
    server.stop();
    soon(exchanges.join_all()).await;
    server.ended().await;
}

/// A request that ends its connection.
fn closing() -> String {
    request("GET", RIGHT, &[("Connection", "close")])
}

/// Asserts that each caller gets one whole response and nothing else.
async fn assert_answered(callers: &mut [Caller]) {
    for caller in callers {
        let response = caller.response().await;
        assert_eq!((response.status, response.header("connection")), (200, Some("close")));
        assert_eq!(caller.closed().await, b"");
    }
}

/// Waits until the server accepts no more connections.
async fn wait_until_closed(server: &Server) {
    soon(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
}
