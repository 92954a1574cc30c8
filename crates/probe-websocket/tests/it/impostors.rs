//! Servers that use another protocol, and broken WebSocket servers.

use std::net::SocketAddr;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use probe_testkit::run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{DEADLINE, check};

/// The response of a real server, in which `{accept}` stands for the right `Sec-WebSocket-Accept`.
const UPGRADE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n";

/// Starts a server that sends `head` in response to the first bytes of each connection, then `frames`.
async fn impostor(head: String, frames: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap_or_default();
            let accept = derive_accept_key(key.trim().as_bytes());
            let response = head.replace("{accept}", &accept);
            stream.write_all(response.as_bytes()).await.unwrap();
            stream.write_all(frames).await.unwrap();
            // Keeps the connection open until the client closes it.
            let _closed = stream.read(&mut [0; 4096]).await;
        }
    });
    address
}

async fn assert_fails(head: &str, frames: &'static [u8], expected: &str) {
    let address = impostor(head.to_owned(), frames).await;
    let outcome = run(&check(address, "/", ""), DEADLINE).await;
    assert_eq!(outcome.line(), format!("{expected} ({address})"), "{head}");
}

#[tokio::test]
async fn a_status_in_http_1_0_is_reported() {
    let expected = "handshake: the server answered 503 Service Unavailable in place of the upgrade";
    assert_fails("HTTP/1.0 503 No server is available\r\n\r\n", b"", expected).await;
    let expected = "handshake: the server answered 599 in place of the upgrade";
    assert_fails("HTTP/1.1 599 Whatever\r\n\r\n", b"", expected).await;
}

#[tokio::test]
async fn a_server_of_another_protocol_is_reported() {
    let expected = "handshake: the answer is not HTTP/1.1";
    assert_fails("-ERR unknown command\r\n", b"", expected).await;
}

#[tokio::test]
async fn a_tls_alert_in_place_of_a_response_is_reported() {
    let expected = "handshake: the server speaks TLS, which needs `wss` in place of `ws`";
    assert_fails("\x15\x03\x01\0\x02\x02\x46", b"", expected).await;
}

#[tokio::test]
async fn an_endless_response_is_a_failure() {
    let head = format!("HTTP/1.1 404 X\r\nx: {}", "x".repeat(70_000));
    assert_fails(&head, b"", "handshake: the answer's head is larger than 64 KiB").await;
}

#[tokio::test]
async fn an_upgrade_that_does_not_match_the_request_is_a_failure() {
    for (from, to, expected) in [
        (
            "{accept}",
            "dGhlIHNhbXBsZQ==",
            "the server's `Sec-WebSocket-Accept` does not belong to our request: a cache, or no WebSocket server",
        ),
        (
            "Upgrade: websocket",
            "Upgrade: h2c",
            "the server switches to a protocol other than WebSocket",
        ),
        ("Connection: Upgrade\r\n", "", "the server switches to a protocol other than WebSocket"),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
            "the server selects a subprotocol, but none was offered",
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            "the server uses an extension that was not offered",
        ),
    ] {
        let head = UPGRADE.replacen(from, to, 1);
        assert_fails(&head, b"", &format!("handshake: {expected}")).await;
    }
}

#[tokio::test]
async fn header_names_and_tokens_are_compared_without_case() {
    let head = UPGRADE
        .replace("Connection: Upgrade", "connection: keep-alive, UPGRADE")
        .replace("Upgrade: websocket", "upgrade: WebSocket");
    // A message and a close frame, in the same packet as the head.
    let expected = "ping: the server closed the WebSocket without a code";
    assert_fails(&head, b"\x81\x02hi\x88\x00", expected).await;
}

#[tokio::test]
async fn frames_that_violate_the_protocol_are_reported() {
    for (frames, expected) in [
        (&b"\xc1\x00"[..], "the server breaks the protocol: reserved bits are non-zero"),
        (
            b"\x81\x82\0\0\0\0hi",
            "the server breaks the protocol: received a masked frame from server",
        ),
        (b"\x82\x7f\0\0\x00\x01\0\0\0\0", "the server's answer is too large"),
        (b"\x81\x02\xff\xff", "a text message is not UTF-8"),
    ] {
        assert_fails(UPGRADE, frames, &format!("ping: {expected}")).await;
    }
}
