//! Callers that are slow, many, confused or hostile, on real sockets.

use std::time::Duration;

use gateway::http::Limits;
use tokio::io::AsyncWriteExt as _;

use super::client::{Caller, RIGHT, Server, get, request, soon};
use super::stand_in::StandIn;

/// Ends idle connections much earlier than [`soon`] gives up, which a server by default does not.
const IMPATIENT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_that_never_ends_is_given_up_however_it_drips() {
    let (server, mut caller) = impatient().await;
    caller.send(format!("GET {RIGHT} HTTP/1.1\r\nDrip: ")).await;
    let mut drips = tokio::time::interval(IMPATIENT / 10);
    let dripping = async {
        while caller.stream.write_all(b"x").await.is_ok() {
            drips.tick().await;
        }
    };
    soon(dripping).await;
    server.assert_serving().await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_after_a_while() {
    let (_server, mut caller) = impatient().await;
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_while() {
    let (_server, mut caller) = impatient().await;
    caller.send(get(RIGHT)).await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn a_connection_is_closed_when_it_has_lived_long_enough() {
    let server = server(Limits { max_connection_age: IMPATIENT, ..Limits::default() }).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn an_answer_under_way_is_finished_however_old_its_connection_is() {
    let (stand_in, begun, go) = StandIn::held();
    let limits =
        Limits { max_connection_age: IMPATIENT, drain: Duration::ZERO, ..Limits::default() };
    let server = Server::start(&stand_in, limits).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    soon(begun.acquire()).await.expect("it stays open").forget();
    // While two others live long enough, one after the other, the caller's lives for too long.
    for _ in 0..2 {
        let mut other = server.connect().await;
        other.send(get("/")).await;
        assert_eq!(other.answer().await.status, 404);
        assert_eq!(other.closed().await, b"");
    }
    go.add_permits(1);
    let answer = caller.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    let start = format!("GET {RIGHT} HTTP/1.1\r\nLong: ");
    // Not a byte more than is read: what stays unread resets the connection, and may take the answer with it.
    caller.send(format!("{start}{}", "x".repeat(16 * 1024 - start.len()))).await;
    assert_eq!(caller.answer().await.status, 431);
    assert_eq!(caller.closed().await, b"");
    server.assert_serving().await;
}

#[tokio::test]
async fn a_head_with_too_many_headers_is_refused() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request("GET", RIGHT, &[("A", "b"); 101])).await;
    assert_eq!(caller.answer().await.status, 431);
    assert_eq!(caller.closed().await, b"");
    server.assert_serving().await;
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let server = server(Limits::default()).await;
    let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\r\n\r\n";
    for garbage in [&b"\0\xff\xfe\r\n\r\n"[..], hello, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let mut caller = server.connect().await;
        caller.send(garbage).await;
        assert_eq!(caller.answer().await.status, 400, "{garbage:?}");
        assert_eq!(caller.closed().await, b"", "{garbage:?}");
        server.assert_serving().await;
    }
}

#[tokio::test]
async fn a_caller_that_insists_on_http_2_is_sent_away() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(caller.closed().await, b"");
    server.assert_serving().await;
}

#[tokio::test]
async fn http_1_0_is_answered_and_the_connection_closed() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send(format!("GET {RIGHT} HTTP/1.0\r\n\r\n")).await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_their_order() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    let targets = [RIGHT, "/", "/api/health/wrong-token/", RIGHT];
    caller.send(targets.map(get).concat()).await;
    for status in [200, 404, 405, 200] {
        assert_eq!(caller.answer().await.status, status);
    }
}

#[tokio::test]
async fn a_request_may_come_in_pieces() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    for byte in get(RIGHT).into_bytes() {
        caller.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn a_caller_may_be_gone_halfway_through_its_request() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send("GET /api/hea").await;
    drop(caller);
    let resets = server.connect().await;
    resets.stream.set_zero_linger().expect("a socket's option");
    drop(resets);
    server.assert_serving().await;
}

#[tokio::test]
async fn a_body_is_ignored_and_the_next_request_answered() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    let length = request("GET", RIGHT, &[("Content-Length", "5")]);
    let chunked = request("GET", RIGHT, &[("Transfer-Encoding", "chunked")]);
    for (head, body) in [(length, "hello"), (chunked, "5\r\nhello\r\n0\r\n\r\n")] {
        caller.send(format!("{head}{body}")).await;
        assert_eq!(caller.answer().await.status, 200);
        caller.send(head).await;
        // The body comes when the answer is long made.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        caller.send(body).await;
        assert_eq!(caller.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_caller_that_asks_before_it_sends_its_body_is_told_to() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    let headers = [("Content-Length", "5"), ("Expect", "100-continue")];
    caller.send(request("GET", RIGHT, &headers)).await;
    assert_eq!(caller.answer().await.status, 100);
    caller.send("hello").await;
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn a_body_that_never_comes_does_not_keep_the_answer() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request("GET", RIGHT, &[("Content-Length", "5")])).await;
    assert_eq!(caller.answer().await.status, 200);
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let server = server(Limits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request("GET", RIGHT, &[("Transfer-Encoding", "chunked")])).await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let sending = async { while caller.stream.write_all(chunk.as_bytes()).await.is_ok() {} };
    soon(sending).await;
    server.assert_serving().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let limits = Limits { connections: 2, accept_wait: Duration::MAX, ..Limits::default() };
    let server = server(limits).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    let mut third = server.connect().await;
    third.send(get(RIGHT)).await;
    for _ in 0..10 {
        for caller in [&mut first, &mut second] {
            caller.send(get(RIGHT)).await;
            assert_eq!(caller.answer().await.status, 200);
        }
    }
    let answered = third.stream.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(answered, Err(std::io::ErrorKind::WouldBlock));
    drop(first);
    assert_eq!(third.answer().await.status, 200);
}

#[tokio::test]
async fn idle_connections_make_room_and_answers_under_way_are_finished() {
    let (stand_in, begun, go) = StandIn::held();
    let limits = Limits { connections: 2, accept_wait: IMPATIENT, ..Limits::default() };
    let server = Server::start(&stand_in, limits).await;
    let mut waits = server.connect().await;
    waits.send(get(RIGHT)).await;
    soon(begun.acquire()).await.expect("it stays open").forget();
    let mut idle = server.connect().await;
    idle.send(get("/")).await;
    assert_eq!(idle.answer().await.status, 404);
    let mut newcomer = server.connect().await;
    for _ in 0..2 {
        newcomer.send(get("/")).await;
        let answer = newcomer.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (404, None));
    }
    assert_eq!(idle.closed().await, b"");
    go.add_permits(1);
    let answer = waits.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert_eq!(waits.closed().await, b"");
}

async fn server(limits: Limits) -> Server {
    Server::start(&StandIn::reporting(), limits).await
}

/// A server that waits for no caller long, and a caller.
async fn impatient() -> (Server, Caller) {
    let server = server(Limits { header_timeout: IMPATIENT, ..Limits::default() }).await;
    let caller = server.connect().await;
    (server, caller)
}
