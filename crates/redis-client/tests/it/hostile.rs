//! Servers that send more than the protocol and the limits allow.

use probe_testkit::{checks, component, run, serve_tcp};
use stack::redis::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{MANY, TIMEOUT, check, execute, failure};

/// The failure of a server that replies to the first command with `reply`, and then with `more` without end.
async fn failure_of(reply: impl Into<Vec<u8>>, more: &'static [u8]) -> String {
    let reply = reply.into();
    let address = serve_tcp(move |mut stream| {
        let reply = reply.clone();
        async move {
            let mut command = [0; 256];
            let _length = stream.read(&mut command).await.unwrap();
            // The client closes the connection as soon as it refuses the reply.
            let mut written = stream.write_all(&reply).await;
            while written.is_ok() && !more.is_empty() {
                written = stream.write_all(&more.repeat(10_000)).await;
            }
        }
    })
    .await;
    let line = failure(&format!("url = 'redis://{address}'")).await;
    line.replace(&address.to_string(), "server")
}

#[tokio::test]
async fn a_reply_without_end_is_refused() {
    let expected = "handshake: the server's answer is too large (server)";
    assert_eq!(failure_of("+", b"PONG").await, expected);
    assert_eq!(failure_of("*200000\r\n", b"$7\r\n1234567\r\n").await, expected);
}

#[tokio::test]
async fn a_declared_length_is_refused_before_its_bytes_arrive() {
    for length in ["1073741824", "2147483648", "4611686018427387904"] {
        for kind in ["$", "*"] {
            assert_eq!(
                failure_of(format!("{kind}{length}\r\n"), b"").await,
                "handshake: the server's answer is too large (server)"
            );
        }
    }
}

#[tokio::test]
async fn nested_arrays_are_refused() {
    assert_eq!(
        failure_of("*1\r\n".repeat(6062), b"").await,
        "handshake: the server's answer is nested too deeply (server)"
    );
}

#[tokio::test]
async fn replies_without_a_command_are_refused() {
    let line = failure_of("", b"+PONG\r\n").await;
    assert_eq!(line, "handshake: the server sent an answer without a command (server)");
}

#[tokio::test]
async fn a_large_value_of_a_real_server_is_refused_and_the_next_run_succeeds() {
    let server = Redis::start(&[]).unwrap();
    let toml = format!("here = 'redis://127.0.0.1:{}'", server.port());
    let [(_, check_of_value)] = &checks(&component(&MANY, "cache", &toml))[..] else {
        panic!("one check")
    };
    server.command(&["SET", "where", "here"]).unwrap();
    execute(check_of_value).await.expect_working();
    server.command(&["SETRANGE", "where", "2000000", "x"]).unwrap();
    for _ in 0..2 {
        let outcome = run(check_of_value, TIMEOUT).await;
        assert!(
            outcome.line().contains(": the server's answer is too large ("),
            "{}",
            outcome.line()
        );
    }
    server.command(&["SET", "where", "here"]).unwrap();
    execute(check_of_value).await.expect_working();
    execute(&check(&format!("url = 'redis://127.0.0.1:{}'", server.port()))).await.expect_working();
}
