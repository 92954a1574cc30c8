//! TCP connections: steps, socket options and failures.

use net::Stream;
use probe::{Failure, Steps};
use socket2::SockRef;
use tokio::net::TcpListener;

async fn connect(host: &str, port: u16) -> Result<Stream, Failure> {
    net::connect(&Steps::new(), host, port, None).await
}

#[tokio::test]
async fn a_socket_has_keep_alive_and_no_delay() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let Stream::Plain(stream) = connect("localhost", port).await.unwrap() else { panic!("TLS") };
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 30);
    assert!(stream.nodelay().unwrap());
}

#[tokio::test]
async fn a_name_that_does_not_exist_fails_in_resolve() {
    let failure = connect("absent.invalid", 80).await.unwrap_err();
    assert_eq!(failure.step(), "resolve");
}

#[tokio::test]
async fn an_ip_address_is_not_resolved() {
    for host in ["127.0.0.1", "::1", "[::1]"] {
        let steps = Steps::new();
        // Port 1 is not in use.
        let failure = net::connect(&steps, host, 1, None).await.unwrap_err();
        assert_eq!(failure.step(), "connect", "{host}");
    }
}
