//! The client against hand-written peers, which do what no real server can be told to do.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod peer;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_client::{Client, MAX_ANSWER, Repeatable};
use probe::{Failure, Steps};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::peer::{OK, Peer, client};

/// Sends one request and tells the answer's body.
async fn ask(client: &Client, method: Method) -> Result<String, Failure> {
    let request = Request::builder().method(method).uri("/question").body(Bytes::new());
    let answer = client.send(&Steps::new(), "ask", request.expect("a request")).await?;
    Ok(String::from_utf8_lossy(answer.body()).into_owned())
}

async fn failure(client: &Client, method: Method) -> String {
    ask(client, method).await.expect_err("a failure").render(client.target())
}

#[tokio::test]
async fn requests_take_turns_on_one_connection() {
    let peer = Peer::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.answer(OK).await;
        }
    })
    .await;
    let client = client(peer.address);
    let both = tokio::join!(ask(&client, Method::GET), ask(&client, Method::POST));
    assert_eq!(
        (both.0.expect("an answer"), both.1.expect("an answer")),
        ("ok".into(), "ok".into())
    );
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn the_host_and_our_name_are_told_and_nothing_else() {
    let peer = Peer::start(|_, mut peer| async move {
        let head = peer.request().await.expect("a request");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        peer.answer(answer.as_bytes()).await;
    })
    .await;
    let seen = ask(&client(peer.address), Method::GET).await.expect("an answer");
    let expected = format!(
        "GET /question HTTP/1.1\r\nhost: {}\r\nuser-agent: health-gateway\r\n\r\n",
        peer.address
    );
    assert_eq!(seen, expected);
}

/// Answers the first request, and hangs up on the second of the same connection.
async fn forgetful() -> Peer {
    Peer::start(|_, mut peer| async move {
        if peer.request().await.is_some() {
            peer.answer(OK).await;
        }
        peer.request().await;
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_turns_out_closed_proves_nothing() {
    let peer = forgetful().await;
    let client = client(peer.address);
    for _ in 0..3 {
        assert_eq!(ask(&client, Method::GET).await.expect("an answer"), "ok");
    }
    assert_eq!((peer.connections(), peer.requests()), (3, 5));
}

#[tokio::test]
async fn a_request_that_may_have_been_acted_on_is_not_repeated() {
    let peer = forgetful().await;
    let client = client(peer.address);
    assert_eq!(ask(&client, Method::POST).await.expect("an answer"), "ok");
    assert_eq!(
        failure(&client, Method::POST).await,
        format!(
            "ask: the server closed the connection without a complete answer ({})",
            peer.address
        )
    );
    assert_eq!((peer.connections(), peer.requests()), (1, 2));
    assert_eq!(ask(&client, Method::POST).await.expect("an answer on another connection"), "ok");
}

#[tokio::test]
async fn a_request_that_may_be_repeated_is_whatever_its_method() {
    let peer = forgetful().await;
    let client = client(peer.address);
    for _ in 0..2 {
        let request = Request::post("/question").extension(Repeatable).body(Bytes::new());
        let answer = client.send(&Steps::new(), "ask", request.expect("a request")).await;
        assert_eq!(answer.expect("an answer").body(), "ok");
    }
    assert_eq!((peer.connections(), peer.requests()), (2, 3));
}

#[tokio::test]
async fn a_server_that_closes_each_fresh_connection_is_asked_twice_at_most() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
    })
    .await;
    let client = client(peer.address);
    let line = failure(&client, Method::GET).await;
    assert!(line.starts_with("ask: the server closed the connection"), "{line}");
    assert_eq!(peer.requests(), 1);
}

#[tokio::test]
async fn a_request_cut_halfway_leaves_nothing_to_the_next() {
    static HALF: Notify = Notify::const_new();
    let peer = Peer::start(|number, mut peer| async move {
        peer.request().await;
        if number == 1 {
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nst";
            peer.answer(half).await;
            HALF.notify_one();
            // The client hangs up, or there would be a second request here.
            assert_eq!(peer.request().await, None);
            return;
        }
        peer.answer(OK).await;
    })
    .await;
    let client = client(peer.address);
    tokio::select! {
        answer = ask(&client, Method::GET) => panic!("it is not complete: {answer:?}"),
        () = HALF.notified() => {}
    }
    assert_eq!(ask(&client, Method::GET).await.expect("an answer of its own"), "ok");
}

#[tokio::test]
async fn whoever_waits_for_a_turn_loses_nothing_when_the_one_before_gives_up() {
    static ASKED: Notify = Notify::const_new();
    let peer = Peer::start(|number, mut peer| async move {
        peer.request().await;
        if number == 1 {
            ASKED.notify_one();
            peer.request().await;
            return;
        }
        peer.answer(OK).await;
    })
    .await;
    let client = client(peer.address);
    let impatient = async {
        tokio::select! {
            answer = ask(&client, Method::POST) => panic!("nobody answers: {answer:?}"),
            () = ASKED.notified() => {}
        }
    };
    let ((), answer) = tokio::join!(impatient, ask(&client, Method::POST));
    assert_eq!(answer.expect("an answer on a connection of its own"), "ok");
}

#[tokio::test]
async fn whoever_waits_for_a_turn_until_the_deadline_of_both_is_not_said_to_have_been_connecting() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
        peer.request().await;
    })
    .await;
    let client = client(peer.address);
    let cut_off = async || {
        let steps = Steps::new();
        let request = Request::get("/question").body(Bytes::new()).expect("a request");
        let asking = client.send(&steps, "ask", request);
        assert!(timeout(Duration::from_millis(300), asking).await.is_err(), "it is silent");
        steps.current()
    };
    assert_eq!(tokio::join!(cut_off(), cut_off()), ("ask", "ask"));
}

#[tokio::test]
async fn an_answer_that_ends_too_early_is_no_answer() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
        peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nst").await;
    })
    .await;
    let line = failure(&client(peer.address), Method::GET).await;
    assert!(line.starts_with("ask: the server closed the connection without a complete"), "{line}");
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
        let mut goes_on = peer.answer(head).await;
        while goes_on {
            goes_on = peer.answer(&chunk).await;
        }
    })
    .await;
    let client = client(peer.address);
    let line = timeout(Duration::from_secs(30), failure(&client, Method::GET));
    let expected =
        format!("ask: the answer is larger than {} KiB ({})", MAX_ANSWER / 1024, peer.address);
    assert_eq!(line.await.expect("an end"), expected);
}

#[tokio::test]
async fn what_is_not_http_is_said_to_be_not_http() {
    let peer = Peer::start(|_, mut peer| async move {
        peer.request().await;
        peer.answer(b"-ERR unknown command\r\n").await;
        peer.request().await;
    })
    .await;
    let line = failure(&client(peer.address), Method::GET).await;
    assert!(line.starts_with("ask: the answer is not HTTP/1.1: "), "{line}");
}

#[tokio::test]
async fn a_refused_connection_names_the_step_and_the_target() {
    // Bound but not listening: nobody else gets the port, and nobody answers on it.
    let reserved = tokio::net::TcpSocket::new_v4().expect("a socket");
    reserved.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = reserved.local_addr().expect("an address");
    let line = failure(&client(address), Method::GET).await;
    assert_eq!(line, format!("connect: connection refused ({address})"));
}
