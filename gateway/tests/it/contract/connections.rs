//! Connections that are slow, many, malformed or hostile, on real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use gateway::http::ServerLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::client::{Caller, RIGHT, Server, get, request, soon};
use super::fake_source::FakeSource;

/// A limit that is reached long before [`soon`] times out, unlike the default ones.
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_that_never_ends_times_out_however_slowly_it_arrives() {
    let (server, mut caller) = with_short_timeout().await;
    caller.send(format!("GET {RIGHT} HTTP/1.1\r\nSlow: ")).await;
    let mut ticks = tokio::time::interval(SHORT / 10);
    let sending = async {
        while caller.stream.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    };
    soon(sending).await;
    server.assert_serving().await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_after_a_while() {
    let (_server, mut caller) = with_short_timeout().await;
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_while() {
    let (_server, mut caller) = with_short_timeout().await;
    caller.send(get(RIGHT)).await;
    assert_eq!(caller.response().await.status, 200);
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn a_connection_is_closed_at_its_maximum_age() {
    let server =
        server(ServerLimits { max_connection_age: SHORT, ..ServerLimits::default() }).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    assert_eq!(caller.response().await.status, 200);
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn a_response_in_flight_is_finished_however_old_its_connection_is() {
    let (source, started, release) = FakeSource::held();
    let limits = ServerLimits {
        max_connection_age: SHORT,
        drain_timeout: Duration::ZERO,
        ..ServerLimits::default()
    };
    let server = Server::start(&source, limits).await;
    let mut caller = server.connect().await;
    caller.send(get(RIGHT)).await;
    soon(started.acquire()).await.expect("it stays open").forget();
    // Two other connections reach their age one after the other, so this one is older by then.
    for _ in 0..2 {
        let mut other = server.connect().await;
        other.send(get("/")).await;
        assert_eq!(other.response().await.status, 404);
        assert_eq!(other.closed().await, b"");
    }
    release.add_permits(1);
    let response = caller.response().await;
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    let start = format!("GET {RIGHT} HTTP/1.1\r\nLong: ");
    // Unread bytes would reset the connection, and the response might be lost, so exactly as many are sent as are read.
    caller.send(format!("{start}{}", "x".repeat(16 * 1024 - start.len()))).await;
    assert_eq!(caller.response().await.status, 431);
    assert_eq!(caller.closed().await, b"");
    server.assert_serving().await;
}

#[tokio::test]
async fn a_head_with_too_many_headers_is_refused() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request("GET", RIGHT, &[("A", "b"); 101])).await;
    assert_eq!(caller.response().await.status, 431);
    assert_eq!(caller.closed().await, b"");
    server.assert_serving().await;
}

#[tokio::test]
async fn bytes_that_are_not_http_are_refused() {
    let server = server(ServerLimits::default()).await;
    let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\r\n\r\n";
    for garbage in [&b"\0\xff\xfe\r\n\r\n"[..], hello, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let mut caller = server.connect().await;
        caller.send(garbage).await;
        assert_eq!(caller.response().await.status, 400, "{garbage:?}");
        assert_eq!(caller.closed().await, b"", "{garbage:?}");
        server.assert_serving().await;
    }
}

#[tokio::test]
async fn http_2_without_negotiation_is_refused() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(caller.closed().await, b"");
    server.assert_serving().await;
}

#[tokio::test]
async fn http_1_0_is_answered_and_the_connection_closed() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send(format!("GET {RIGHT} HTTP/1.0\r\n\r\n")).await;
    assert_eq!(caller.response().await.status, 200);
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    let targets = [RIGHT, "/", "/api/health/wrong-token/", RIGHT];
    caller.send(targets.map(get).concat()).await;
    for status in [200, 404, 405, 200] {
        assert_eq!(caller.response().await.status, status);
    }
}

#[tokio::test]
async fn a_request_may_arrive_in_pieces() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    for byte in get(RIGHT).into_bytes() {
        caller.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(caller.response().await.status, 200);
}

#[tokio::test]
async fn a_caller_may_disconnect_halfway_through_its_request() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send("GET /api/hea").await;
    drop(caller);
    let resetting = server.connect().await;
    resetting.stream.set_zero_linger().expect("a socket's option");
    drop(resetting);
    server.assert_serving().await;
}

#[tokio::test]
async fn a_body_is_ignored_and_the_next_request_answered() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    let length = request("GET", RIGHT, &[("Content-Length", "5")]);
    let chunked = request("GET", RIGHT, &[("Transfer-Encoding", "chunked")]);
    for (head, body) in [(length, "hello"), (chunked, "5\r\nhello\r\n0\r\n\r\n")] {
        caller.send(format!("{head}{body}")).await;
        assert_eq!(caller.response().await.status, 200);
        caller.send(head).await;
        // The body arrives long after the response is ready.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        caller.send(body).await;
        assert_eq!(caller.response().await.status, 200);
    }
}

#[tokio::test]
async fn expect_continue_is_answered_with_100() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    let headers = [("Content-Length", "5"), ("Expect", "100-continue")];
    caller.send(request("GET", RIGHT, &headers)).await;
    assert_eq!(caller.response().await.status, 100);
    caller.send("hello").await;
    assert_eq!(caller.response().await.status, 200);
}

#[tokio::test]
async fn a_body_that_never_arrives_does_not_delay_the_response() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request("GET", RIGHT, &[("Content-Length", "5")])).await;
    assert_eq!(caller.response().await.status, 200);
    assert_eq!(caller.closed().await, b"");
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let server = server(ServerLimits::default()).await;
    let mut caller = server.connect().await;
    caller.send(request("GET", RIGHT, &[("Transfer-Encoding", "chunked")])).await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let sending = async { while caller.stream.write_all(chunk.as_bytes()).await.is_ok() {} };
    soon(sending).await;
    server.assert_serving().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let limits =
        ServerLimits { max_connections: 2, idle_grace: Duration::MAX, ..ServerLimits::default() };
    let server = server(limits).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    let mut third = server.connect().await;
    third.send(get(RIGHT)).await;
    for _ in 0..10 {
        for caller in [&mut first, &mut second] {
            caller.send(get(RIGHT)).await;
            assert_eq!(caller.response().await.status, 200);
        }
    }
    let read = third.stream.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(read, Err(std::io::ErrorKind::WouldBlock));
    drop(first);
    assert_eq!(third.response().await.status, 200);
}

#[tokio::test]
async fn idle_connections_make_room_and_responses_in_flight_do_not() {
    let (source, started, release) = FakeSource::held();
    let server = Server::start(&source, ServerLimits { max_connections: 2, ..EAGER }).await;
    let mut waiting = server.connect().await;
    waiting.send(get(RIGHT)).await;
    soon(started.acquire()).await.expect("it stays open").forget();
    let mut idle = server.connect().await;
    idle.send(get("/")).await;
    assert_eq!(idle.response().await.status, 404);
    let mut newcomer = server.connect().await;
    for _ in 0..2 {
        newcomer.send(get("/")).await;
        let response = newcomer.response().await;
        assert_eq!((response.status, response.header("connection")), (404, None));
    }
    assert_eq!(idle.closed().await, b"");
    release.add_permits(1);
    let response = waiting.response().await;
    assert_eq!((response.status, response.header("connection")), (200, None));
}

#[tokio::test]
async fn a_connection_without_a_complete_head_makes_room_in_any_phase() {
    let keep_alive = get("/") + "GET / HT";
    for sent in ["", "G", "GET /api/health/right-token/ HTTP/1.1\r\nHost: h", &keep_alive] {
        let server = server(EAGER).await;
        let mut slow = server.connect().await;
        slow.send(sent).await;
        if sent == keep_alive {
            assert_eq!(slow.response().await.status, 404);
        }
        server.assert_serving().await;
        assert_eq!(slow.closed().await, b"", "{sent:?}");
    }
}

#[tokio::test]
async fn the_oldest_connection_makes_room() {
    let server = server(ServerLimits { max_connections: 2, ..EAGER }).await;
    let mut oldest = server.connect().await;
    let second = server.connect().await;
    server.assert_serving().await;
    assert_eq!(oldest.closed().await, b"");
    let read = second.stream.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(read, Err(std::io::ErrorKind::WouldBlock), "it is still open");
}

#[tokio::test]
async fn a_connection_that_waits_for_its_body_makes_room() {
    let (source, started, release) = FakeSource::held();
    let server = Server::start(&source, EAGER).await;
    let mut slow = server.connect().await;
    slow.send(request("GET", RIGHT, &[("Content-Length", "5")]) + "h").await;
    soon(started.acquire()).await.expect("it stays open").forget();
    release.add_permits(2);
    server.assert_serving().await;
    assert_eq!(slow.response().await.status, 200);
}

#[tokio::test]
async fn a_connection_with_an_unread_response_makes_room() {
    let server = server(EAGER).await;
    let mut stalled = server.connect().await;
    // Requests are sent until the buffers are full in both directions.
    let requests = get("/").repeat(1000);
    while timeout(SHORT, stalled.stream.write_all(requests.as_bytes())).await.is_ok() {}
    server.assert_serving().await;
}

#[tokio::test]
async fn few_pipelined_requests_are_answered_if_no_response_is_read() {
    let source = FakeSource::new();
    let server = Server::start(&source, ServerLimits::default()).await;
    let mut stalled = server.connect().await;
    stalled.send(get(RIGHT)).await;
    let response_size = soon(stalled.stream.read(&mut [0; 4096])).await.expect("a response");
    // Requests are sent until the buffers are full in both directions.
    let requests = get(RIGHT).repeat(1000);
    let mut sent = 0;
    while let Ok(Ok(count)) =
        timeout(SHORT * 5, stalled.stream.write(&requests.as_bytes()[sent..])).await
    {
        sent = (sent + count) % requests.len();
    }
    let answered = source.peers().len() * response_size;
    assert!(answered < 1024 * 1024, "{answered} bytes");
}

#[tokio::test]
async fn an_address_with_more_than_a_quarter_of_the_places_makes_room_for_others() {
    let limits = ServerLimits {
        max_connections: 8,
        first_head_grace: Duration::MAX,
        idle_grace: SHORT,
        ..ServerLimits::default()
    };
    let server = server(limits).await;
    let mut other = connect_from("127.0.0.2", &server).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(server.connect().await);
    }
    // Neither the connections of the crowd nor those behind them take a place from the other address.
    let mut newcomer = connect_from("127.0.0.3", &server).await;
    newcomer.send(get(RIGHT)).await;
    assert_eq!(newcomer.response().await.status, 200);
    other.send(get(RIGHT)).await;
    assert_eq!(other.response().await.status, 200);
}

/// Limits that are reached at once.
const EAGER: ServerLimits = ServerLimits {
    max_connections: 1,
    max_waiting: 1,
    idle_grace: Duration::ZERO,
    first_head_grace: Duration::ZERO,
    stalled_grace: SHORT,
    header_timeout: Duration::from_secs(30),
    max_connection_age: Duration::from_mins(5),
    drain_timeout: Duration::from_secs(10),
};

/// Connects from another address of the loopback network.
async fn connect_from(address: &str, server: &Server) -> Caller {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(address.parse().expect("an address"), 0)).expect("it is local");
    Caller::new(socket.connect(server.address).await.expect("the server listens"))
}

async fn server(limits: ServerLimits) -> Server {
    Server::start(&FakeSource::new(), limits).await
}

/// A server with a short `header_timeout`, and a caller.
async fn with_short_timeout() -> (Server, Caller) {
    let server = server(ServerLimits { header_timeout: SHORT, ..ServerLimits::default() }).await;
    let caller = server.connect().await;
    (server, caller)
}
