//! Servers that use another protocol, and malicious ones.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{check_line, url};

/// Starts a server that replies to each message with the next of `replies`.
async fn impostor(replies: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let replies = replies.clone();
            tokio::spawn(async move {
                let mut message = [0; 1024];
                for reply in &replies {
                    let Ok(1..) = stream.read(&mut message).await else { return };
                    if stream.write_all(reply).await.is_err() {
                        return;
                    }
                }
                // Keeps the connection open until the client closes it.
                drop(stream.read(&mut message).await);
            });
        }
    });
    port
}

const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
const LOGIN_OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";

#[tokio::test]
async fn an_http_server_is_reported_as_not_postgresql() {
    let port = impostor(vec![HTTP.to_vec()]).await;
    let expected = "the server does not speak PostgreSQL's protocol (127.0.0.1:PORT)";
    check_line(port, &url(port), "", &format!("negotiate: {expected}")).await;
    let plain = format!("{}?sslmode=disable", url(port));
    check_line(port, &plain, "", &format!("authenticate: {expected}")).await;
}

#[tokio::test]
async fn an_endless_message_is_a_failure() {
    let endless = [LOGIN_OK, b"E\x7f\xff\xff\xff", &vec![b'x'; 512 * 1024]].concat();
    let port = impostor(vec![b"N".to_vec(), endless]).await;
    let expected = "authenticate: the server's answer is too large (127.0.0.1:PORT)";
    check_line(port, &url(port), "", expected).await;
}

#[tokio::test]
async fn endless_messages_are_a_failure() {
    let setting = b"S\0\0\0\x0aa\0bbb\0";
    let endless = [LOGIN_OK, &setting.repeat(60_000)].concat();
    let port = impostor(vec![b"N".to_vec(), endless]).await;
    let outcome = crate::run(&crate::check(&url(port), "")).await;
    let line = outcome.line();
    assert!(line.starts_with("authenticate: the server's answer is too large ("), "{line}");
}

#[tokio::test]
async fn an_endless_result_is_a_failure() {
    let ready = [LOGIN_OK, b"Z\0\0\0\x05I"].concat();
    let columns = b"T\0\0\0\x06\0\0";
    let row = b"D\0\0\0\x06\0\0";
    let endless = [columns.as_slice(), &row.repeat(60_000)].concat();
    let port = impostor(vec![b"N".to_vec(), ready, endless]).await;
    let expected = "query: the server's answer is too large (127.0.0.1:PORT)";
    check_line(port, &url(port), "", expected).await;
}

#[tokio::test]
async fn an_unexpected_result_is_a_failure() {
    let ready = [LOGIN_OK, b"Z\0\0\0\x05I"].concat();
    let nothing = b"I\0\0\0\x04Z\0\0\0\x05I";
    let port = impostor(vec![b"N".to_vec(), ready, nothing.to_vec()]).await;
    let expected = "query: the answer is not PostgreSQL's (127.0.0.1:PORT)";
    check_line(port, &url(port), "", expected).await;
}
