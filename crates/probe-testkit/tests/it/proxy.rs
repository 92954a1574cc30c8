//! The fault proxy in front of the toy's server, with a plain TCP client.

use std::io;
use std::net::SocketAddr;

use probe_testkit::{Counts, FaultProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::toy::Server;

async fn proxy() -> FaultProxy {
    FaultProxy::start(Server::start().await.address())
}

async fn client(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

async fn ping(client: &mut TcpStream) -> io::Result<String> {
    client.write_all(b"hello\n").await?;
    read(client).await
}

async fn read(client: &mut TcpStream) -> io::Result<String> {
    let mut answer = [0; 6];
    let length = client.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[tokio::test]
async fn the_proxy_forwards_everything_and_counts() {
    let proxy = proxy().await;
    let mut first = client(proxy.address()).await;
    assert_eq!(ping(&mut first).await.unwrap(), "what?\n");
    let _second = client(proxy.address()).await;
    let counts = proxy.wait_for_open(2).await;
    assert_eq!(counts, Counts { accepted: 2, open: 2, from_client: 6, from_server: 6 });
    drop(first);
    assert_eq!(proxy.wait_for_open(1).await.accepted, 2);
}

#[tokio::test]
async fn a_closed_port_reopens_with_the_same_number() {
    let proxy = proxy().await;
    let mut old = client(proxy.address()).await;
    for _ in 0..20 {
        proxy.refuse().await;
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        proxy.heal();
        assert_eq!(ping(&mut client(proxy.address()).await).await.unwrap(), "what?\n");
    }
    assert_eq!(read(&mut old).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn swallowed_bytes_are_forwarded_after_healing() {
    let proxy = proxy().await;
    let mut old = client(proxy.address()).await;
    ping(&mut old).await.unwrap();
    proxy.swallow();
    let mut new = client(proxy.address()).await;
    for client in [&mut old, &mut new] {
        client.write_all(b"hello\n").await.unwrap();
    }
    let counts = proxy.wait_until("three requests", |counts| counts.from_client == 18).await;
    assert_eq!(counts.from_server, 6);
    proxy.heal();
    assert_eq!(read(&mut old).await.unwrap(), "what?\n");
    assert_eq!(read(&mut new).await.unwrap(), "what?\n");
}

#[tokio::test]
async fn a_client_that_closes_a_silent_connection_is_noticed() {
    let proxy = proxy().await;
    let mut old = client(proxy.address()).await;
    ping(&mut old).await.unwrap();
    proxy.swallow();
    let new = client(proxy.address()).await;
    proxy.wait_for_open(2).await;
    drop((old, new));
    proxy.wait_for_open(0).await;
}

#[tokio::test]
async fn an_answer_is_cut_at_the_exact_byte() {
    let proxy = proxy().await;
    for (bytes, expected) in [(0, ""), (1, "w"), (5, "what?"), (6, "what?\n")] {
        proxy.cut_after(bytes);
        let mut client = client(proxy.address()).await;
        let mut answer = String::new();
        // If no byte may pass, the connection may be closed before the request is written.
        let _written = client.write_all(b"hello\n").await;
        let _ended = client.read_to_string(&mut answer).await;
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn connections_end_with_a_reset_or_gracefully() {
    let proxy = proxy().await;
    let mut first = client(proxy.address()).await;
    proxy.wait_for_open(1).await;
    proxy.reset().await;
    assert_eq!(read(&mut first).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let mut second = client(proxy.address()).await;
    proxy.wait_for_open(1).await;
    proxy.close().await;
    assert_eq!(read(&mut second).await.unwrap(), "");
}

#[tokio::test]
async fn a_delay_applies_once_in_each_direction() {
    let proxy = proxy().await;
    let mut client = client(proxy.address()).await;
    let delay = std::time::Duration::from_millis(50);
    proxy.delay(delay);
    let started = std::time::Instant::now();
    assert_eq!(ping(&mut client).await.unwrap(), "what?\n");
    assert!(started.elapsed() >= 2 * delay, "{:?}", started.elapsed());
}
