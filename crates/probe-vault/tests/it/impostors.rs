//! Servers that are not Vault, or do not match the configured URL.

use probe_testkit::single;
use probe_vault::KIND;
use stack::vault::Vault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{assert_fails, check, once};

/// A server that sends `response` to every request.
async fn impostor(response: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
                // The client may already have disconnected.
                let _ignored = stream.write_all(response.as_bytes()).await;
            }
        }
    });
    port
}

#[tokio::test]
async fn a_web_page_is_not_vault() {
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: 6\r\n\r\n<html>";
    let port = impostor(page).await;
    let expected = "health: status 200, not Vault: text/html";
    assert_fails(&once(&check(port, "")).await, port, expected);
}

#[tokio::test]
async fn a_redirect_is_reported_as_such() {
    let port =
        impostor("HTTP/1.1 301 X\r\nlocation: https://vault/\r\ncontent-length: 0\r\n\r\n").await;
    let expected = "health: answered with a redirect (301), which is not followed";
    assert_fails(&once(&check(port, "")).await, port, expected);
}

#[tokio::test]
async fn a_server_without_tls_is_reported_as_such() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    let toml = format!("url = 'https://127.0.0.1:{port}'\ntoken = 'x'\n");
    let outcome = once(&single(&KIND, "vault", &toml)).await;
    assert_fails(&outcome, port, "tls: the server does not speak TLS");
}
