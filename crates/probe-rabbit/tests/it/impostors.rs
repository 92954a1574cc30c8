//! Servers that use another protocol, and malicious ones.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::outcome;

/// Starts a server that replies to each message with the next of `replies`, then closes the connection.
async fn impostor(replies: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let replies = replies.clone();
            tokio::spawn(async move {
                let mut message = [0; 4096];
                for reply in &replies {
                    let Ok(1..) = stream.read(&mut message).await else { return };
                    if stream.write_all(reply).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

async fn check_line(replies: Vec<Vec<u8>>, expected: &str) {
    let port = impostor(replies).await;
    let line = outcome(&format!("url = 'amqp://127.0.0.1:{port}'")).await;
    assert_eq!(line.line(), format!("{expected} (127.0.0.1:{port})"));
}

/// A method frame on channel 0.
fn method(payload: &[u8]) -> Vec<u8> {
    method_on(0, payload)
}

fn method_on(channel: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[1, 0, channel][..], &size, payload, &[0xce]].concat()
}

/// `connection.start` with an empty table, this mechanism and one locale.
fn start(mechanism: &[u8]) -> Vec<u8> {
    let length = u32::try_from(mechanism.len()).unwrap().to_be_bytes();
    method(
        &[&[0, 10, 0, 10, 0, 9, 0, 0, 0, 0][..], &length, mechanism, b"\0\0\0\x05en_US"].concat(),
    )
}

#[tokio::test]
async fn a_server_of_another_protocol_is_reported() {
    let no_amqp = "handshake: the server does not speak AMQP 0-9-1";
    check_line(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], no_amqp).await;
    check_line(vec![b"-ERR unknown command\r\n".to_vec()], no_amqp).await;
    // A frame of two gigabytes.
    check_line(vec![b"\x01\0\0\x7f\xff\xff\xff".to_vec()], no_amqp).await;
    check_line(
        vec![b"AMQP\0\x01\0\0".to_vec()],
        "handshake: the server speaks another version of AMQP",
    )
    .await;
}

#[tokio::test]
async fn a_closed_connection_is_reported_with_its_step() {
    check_line(vec![Vec::new()], "handshake: connection closed").await;
    check_line(vec![start(b"PLAIN"), Vec::new()], "authenticate: connection closed").await;
}

#[tokio::test]
async fn a_broker_without_plain_authentication_is_reported() {
    let expected = "handshake: the broker offers no authentication by PLAIN";
    check_line(vec![start(b"EXTERNAL")], expected).await;
}

#[tokio::test]
async fn an_unexpected_method_is_a_failure() {
    // `connection.open-ok` instead of `connection.tune`.
    let expected = "authenticate: the broker sent a method, which the protocol does not allow here";
    check_line(vec![start(b"PLAIN"), method(b"\0\x0a\0\x29\0")], expected).await;
}

/// A broker's answers until the connection is open with its reply queue, and a channel for the publication is open.
fn open_connection() -> Vec<Vec<u8>> {
    let channel = |id| {
        let select_ok = method_on(id, b"\0\x55\0\x0b");
        [method_on(id, b"\0\x14\0\x0b\0\0\0\0"), select_ok].concat()
    };
    let consume_ok = method_on(1, b"\0\x3c\0\x15\0");
    vec![
        start(b"PLAIN"),
        method(b"\0\x0a\0\x1e\0\0\0\x02\0\0\0\x0a"),
        method(b"\0\x0a\0\x29\0"),
        channel(1),
        [method_on(1, &[&b"\0\x32\0\x0b\0"[..], &[0; 8]].concat()), consume_ok].concat(),
        channel(2),
    ]
}

#[tokio::test]
async fn endless_methods_are_a_failure() {
    let ack = method_on(1, &[&b"\0\x3c\0\x50"[..], &[0; 9]].concat());
    let replies = [open_connection(), vec![ack.repeat(5_000), Vec::new()]].concat();
    check_line(replies, "publish: the server's answer is too large").await;
}

#[tokio::test]
async fn a_message_of_2_to_the_62_bytes_is_a_failure() {
    let deliver = method_on(1, &[&b"\0\x3c\0\x3c\0"[..], &[0; 11]].concat());
    let size = (1_u64 << 62).to_be_bytes();
    let header = [&[2, 0, 1, 0, 0, 0, 14][..], &[0, 60, 0, 0], &size, &[0, 0], &[0xce]].concat();
    let replies = [open_connection(), vec![[deliver, header].concat(), Vec::new()]].concat();
    check_line(replies, "publish: the server's answer is too large").await;
}

#[tokio::test]
async fn nested_server_properties_are_a_failure() {
    let mut table: Vec<u8> = Vec::new();
    for _ in 0..5_000 {
        let size = u32::try_from(table.len()).unwrap().to_be_bytes();
        table = [b"\x01nF", &size[..], &table].concat();
    }
    let size = u32::try_from(table.len()).unwrap().to_be_bytes();
    let start = method(&[&[0, 10, 0, 10, 0, 9][..], &size, &table].concat());
    let expected = "handshake: the broker sent a table of more than 32 levels, which the protocol does not allow here";
    check_line(vec![start], expected).await;
}
