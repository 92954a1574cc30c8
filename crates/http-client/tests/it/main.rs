//! The client against scripted servers, which misbehave in ways that a real server cannot.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod peer;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request};
use http_client::{Client, MAX_BODY, Repeatable, Unhedged};
use probe::{Failure, Steps};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::peer::{OK, Peer, client};

/// Sends one request and returns the body of the response.
async fn send(client: &Client, method: Method) -> Result<String, Failure> {
    let request = Request::builder().method(method).uri("/path").body(Bytes::new());
    let response = client.send(&Steps::new(), "request", request.expect("a request")).await?;
    Ok(String::from_utf8_lossy(response.body()).into_owned())
}

async fn failure(client: &Client, method: Method) -> String {
    send(client, method).await.expect_err("a failure").render(client.target())
}

#[tokio::test]
async fn concurrent_requests_use_one_connection() {
    let peer = Peer::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.respond(OK).await;
        }
    })
    .await;
    let client = client(peer.address);
    let both = tokio::join!(send(&client, Method::GET), send(&client, Method::POST));
    assert_eq!(
        (both.0.expect("a response"), both.1.expect("a response")),
        ("ok".into(), "ok".into())
    );
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_request_that_hangs_delays_no_other() {
    static RECEIVED: Notify = Notify::const_new();
    let peer = Peer::start(|number, mut peer| async move {
        while peer.request().await.is_some() {
            if number == 1 {
                RECEIVED.notify_one();
                continue;
            }
            peer.respond(OK).await;
        }
    })
    .await;
    let client = client(peer.address);
    let others = async {
        RECEIVED.notified().await;
        for _ in 0..20 {
            assert_eq!(send(&client, Method::POST).await.expect("a response"), "ok");
        }
    };
    tokio::select! {
        response = send(&client, Method::POST) => panic!("the server sent none: {response:?}"),
        done = timeout(Duration::from_secs(30), others) => done.expect("responses"),
    }
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn requests_in_flight_are_bounded() {
    static ARRIVED: Semaphore = Semaphore::const_new(0);
    static ANSWER: Semaphore = Semaphore::const_new(0);
    let peer = Peer::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            ARRIVED.add_permits(1);
            ANSWER.acquire().await.expect("an open semaphore").forget();
            peer.respond(OK).await;
        }
    })
    .await;
    let client = client(peer.address);
    let requests = join_all((0..40).map(|_| send(&client, Method::POST)));
    let bounded = async {
        ARRIVED.acquire_many(16).await.expect("an open semaphore").forget();
        // Each answer lets one more request through.
        for _ in 16..40 {
            ANSWER.add_permits(1);
            ARRIVED.acquire().await.expect("an open semaphore").forget();
            assert_eq!(ARRIVED.available_permits(), 0);
        }
        ANSWER.add_permits(16);
    };
    let (responses, ()) = tokio::join!(requests, bounded);
    assert!(responses.iter().all(Result::is_ok), "{responses:?}");
    assert_eq!(peer.connections(), 16);
}

#[tokio::test]
async fn a_request_has_only_the_headers_host_and_user_agent() {
    let peer = Peer::start(|_, mut peer| async move {
        let head = peer.request().await.expect("a request");
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        peer.respond(response.as_bytes()).await;
    })
    .await;
    let head = send(&client(peer.address), Method::GET).await.expect("a response");
    let expected = format!(
        "GET /path HTTP/1.1\r\nhost: {}\r\nuser-agent: health-gateway\r\n\r\n",
        peer.address
    );
    assert_eq!(head, expected);
}

/// A server that closes each connection after its second request, without a response to it.
async fn closes_after_one_response() -> Peer {
    Peer::start(|_, mut peer| async move {
        if peer.request().await.is_some() {
            peer.respond(OK).await;
        }
        peer.request().await;
    })
    .await
}

#[tokio::test]
async fn an_idempotent_request_on_a_closed_connection_is_sent_again() {
    let peer = closes_after_one_response().await;
    let client = client(peer.address);
    for _ in 0..3 {
        assert_eq!(send(&client, Method::GET).await.expect("a response"), "ok");
    }
    assert_eq!((peer.connections(), peer.requests()), (3, 5));
}

#[tokio::test]
async fn a_request_that_is_not_idempotent_is_not_sent_again() {
    let peer = closes_after_one_response().await;
    let client = client(peer.address);
    assert_eq!(send(&client, Method::POST).await.expect("a response"), "ok");
    assert_eq!(
        failure(&client, Method::POST).await,
        format!(
            "request: the server closed the connection without a complete answer ({})",
            peer.address
        )
    );
    assert_eq!((peer.connections(), peer.requests()), (1, 2));
    assert_eq!(send(&client, Method::POST).await.expect("a response on a new connection"), "ok");
}

#[tokio::test]
async fn a_repeatable_request_is_sent_again_whatever_its_method() {
    let peer = closes_after_one_response().await;
    let client = client(peer.address);
    for _ in 0..2 {
        let request = Request::post("/path").extension(Repeatable).body(Bytes::new());
        let response = client.send(&Steps::new(), "request", request.expect("a request")).await;
        assert_eq!(response.expect("a response").body(), "ok");
    }
    assert_eq!((peer.connections(), peer.requests()), (2, 3));
}

#[tokio::test]
async fn an_unhedged_request_counts_how_often_it_was_sent() {
    let peer = closes_after_one_response().await;
    let client = client(peer.address);
    for sent in [1, 2] {
        let unhedged = Unhedged::default();
        let request = Request::put("/path").extension(unhedged.clone()).body(Bytes::new());
        let response = client.send(&Steps::new(), "request", request.expect("a request")).await;
        assert_eq!(response.expect("a response").body(), "ok");
        assert_eq!(unhedged.sent(), sent);
    }
}

#[tokio::test]
async fn a_request_on_a_new_connection_is_not_sent_again() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
    })
    .await;
    let client = client(peer.address);
    let line = failure(&client, Method::GET).await;
    assert!(line.starts_with("request: the server closed the connection"), "{line}");
    assert_eq!(peer.requests(), 1);
}

#[tokio::test]
async fn the_response_to_a_dropped_request_is_not_read_by_the_next() {
    static HALF: Notify = Notify::const_new();
    let peer = Peer::start(|number, mut peer| async move {
        peer.request().await;
        if number == 1 {
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nst";
            peer.respond(half).await;
            HALF.notify_one();
            // The client must close the connection. A second request must not arrive on it.
            assert_eq!(peer.request().await, None);
            return;
        }
        peer.respond(OK).await;
    })
    .await;
    let client = client(peer.address);
    tokio::select! {
        response = send(&client, Method::GET) => panic!("the response is incomplete: {response:?}"),
        () = HALF.notified() => {}
    }
    assert_eq!(send(&client, Method::GET).await.expect("a response of its own"), "ok");
}

#[tokio::test]
async fn a_request_that_waits_for_a_dropped_one_is_sent() {
    static RECEIVED: Notify = Notify::const_new();
    let peer = Peer::start(|number, mut peer| async move {
        peer.request().await;
        if number == 1 {
            RECEIVED.notify_one();
            peer.request().await;
            return;
        }
        peer.respond(OK).await;
    })
    .await;
    let client = client(peer.address);
    let dropped = async {
        tokio::select! {
            response = send(&client, Method::POST) => panic!("the server sent none: {response:?}"),
            () = RECEIVED.notified() => {}
        }
    };
    let ((), response) = tokio::join!(dropped, send(&client, Method::POST));
    assert_eq!(response.expect("a response on a new connection"), "ok");
}

#[tokio::test]
async fn two_requests_with_one_deadline_time_out_in_the_same_step() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
        peer.request().await;
    })
    .await;
    let client = client(peer.address);
    let time_out = async || {
        let steps = Steps::new();
        let request = Request::get("/path").body(Bytes::new()).expect("a request");
        let exchange = client.send(&steps, "request", request);
        assert!(timeout(Duration::from_millis(300), exchange).await.is_err(), "no response");
        steps.current()
    };
    assert_eq!(tokio::join!(time_out(), time_out()), ("request", "request"));
}

/// An answer that no request asked for.
const STALE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale";

#[tokio::test]
async fn an_answer_behind_the_expected_one_is_not_read_by_the_next_request() {
    let peer = Peer::start(|number, mut peer| async move {
        peer.request().await;
        let response = if number == 1 { [OK, STALE].concat() } else { OK.to_vec() };
        peer.respond(&response).await;
        assert_eq!(peer.request().await, None, "no second request arrives here");
    })
    .await;
    let client = client(peer.address);
    for connections in 1..=2 {
        assert_eq!(send(&client, Method::POST).await.expect("its own answer"), "ok");
        assert_eq!(peer.connections(), connections);
    }
}

#[tokio::test]
async fn bytes_on_an_idle_connection_close_it() {
    static CLOSED: Notify = Notify::const_new();
    let peer = Peer::start(|number, mut peer| async move {
        peer.request().await;
        peer.respond(OK).await;
        if number == 1 {
            peer.respond(STALE).await;
        }
        assert_eq!(peer.request().await, None, "no second request arrives here");
        CLOSED.notify_one();
    })
    .await;
    let client = client(peer.address);
    assert_eq!(send(&client, Method::POST).await.expect("its own answer"), "ok");
    timeout(Duration::from_secs(30), CLOSED.notified()).await.expect("it is closed while idle");
    assert_eq!(send(&client, Method::POST).await.expect("its own answer"), "ok");
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_truncated_response_is_a_failure() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
        peer.respond(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nst").await;
    })
    .await;
    let line = failure(&client(peer.address), Method::GET).await;
    assert!(
        line.starts_with("request: the server closed the connection without a complete"),
        "{line}"
    );
}

/// The line of a request to a server that answers with `head` and then `part` without end, with the server's address.
async fn failure_of_endless(head: &'static str, part: &'static [u8]) -> (String, SocketAddr) {
    let peer = Peer::start(move |_, mut peer| async move {
        peer.request().await;
        let many = part.repeat(0x1000 / part.len());
        let mut is_open = peer.respond(head.as_bytes()).await;
        while is_open {
            is_open = peer.respond(&many).await;
        }
    })
    .await;
    let client = client(peer.address);
    let line = timeout(Duration::from_secs(30), failure(&client, Method::GET));
    (line.await.expect("an end"), peer.address)
}

#[tokio::test]
async fn an_endless_response_is_a_failure() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (head, part) in [
        (chunked, b"10\r\n0123456789abcdef\r\n".as_slice()),
        (chunked, b"1\r\nx\r\n"),
        ("", b"HTTP/1.1 100 Continue\r\n\r\n"),
        ("", b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"),
    ] {
        let (line, server) = failure_of_endless(head, part).await;
        assert_eq!(line, format!("request: the server's answer is too large ({server})"));
    }
}

#[tokio::test]
async fn the_limit_is_that_of_one_answer() {
    let peer = Peer::start(|_, mut peer| async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MAX_BODY}\r\n\r\n");
        let response = [head.into_bytes(), vec![b'x'; MAX_BODY]].concat();
        while peer.request().await.is_some() {
            peer.respond(&response).await;
        }
    })
    .await;
    let client = client(peer.address);
    for _ in 0..3 {
        let body = send(&client, Method::GET).await.expect("a response");
        assert_eq!(body.len(), MAX_BODY);
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_server_of_another_protocol_is_reported() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
        peer.respond(b"-ERR unknown command\r\n").await;
        peer.request().await;
    })
    .await;
    let line = failure(&client(peer.address), Method::GET).await;
    assert!(line.starts_with("request: the answer is not HTTP/1.1: "), "{line}");
}

#[tokio::test]
async fn a_refused_connection_names_the_step_and_the_target() {
    // A port that is bound but not listening refuses connections and is not given to another process.
    let reserved = tokio::net::TcpSocket::new_v4().expect("a socket");
    reserved.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = reserved.local_addr().expect("an address");
    let line = failure(&client(address), Method::GET).await;
    assert_eq!(line, format!("connect: connection refused ({address})"));
}
