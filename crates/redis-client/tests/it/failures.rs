//! Each way in which a server can fail us, in its own words.

use std::net::{Ipv4Addr, SocketAddr};

use probe_testkit::{FaultProxy, run};
use stack::redis::Redis;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{MOMENT, ask, check, check_of, failure};

#[tokio::test]
async fn a_server_that_is_down_refuses_the_connection_and_its_restart_is_seen_at_once() {
    let mut server = Redis::start(&[]).unwrap();
    let check = check_of(&server);
    ask(&check).await.expect_working();
    server.server.stop();
    let refused = format!("connect: connection refused (127.0.0.1:{})", server.port());
    assert_eq!(ask(&check).await.line(), refused);
    server.server.restart().unwrap();
    ask(&check).await.expect_working();
}

#[tokio::test]
async fn a_restart_between_two_runs_is_no_alarm() {
    let mut server = Redis::start(&[]).unwrap();
    let check = check_of(&server);
    for _ in 0..3 {
        ask(&check).await.expect_working();
        server.server.restart().unwrap();
    }
    ask(&check).await.expect_working();
}

#[tokio::test]
async fn a_silent_server_is_named_by_the_step_that_got_no_answer() {
    let server = Redis::start(&[]).unwrap();
    let (kept, fresh) = (check_of(&server), check_of(&server));
    let with_password = check(&format!("url = 'redis://:secret@127.0.0.1:{}'", server.port()));
    ask(&kept).await.expect_working();
    server.server.pause();
    assert_eq!(run(&kept, MOMENT).await.cut_step(), "write");
    assert_eq!(run(&fresh, MOMENT).await.cut_step(), "handshake");
    assert_eq!(run(&with_password, MOMENT).await.cut_step(), "authenticate");
    server.server.resume();
    ask(&kept).await.expect_working();
    ask(&fresh).await.expect_working();
}

#[tokio::test]
async fn a_reset_connection_is_opened_again_within_the_same_run() {
    let server = Redis::start(&[]).unwrap();
    let proxy = FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())));
    let check = check(&format!("url = 'redis://{}'", proxy.address()));
    ask(&check).await.expect_working();
    proxy.reset().await;
    ask(&check).await.expect_working();
    proxy.close().await;
    ask(&check).await.expect_working();
}

#[tokio::test]
async fn refused_credentials_are_the_server_s_words() {
    let server = Redis::start(&["requirepass right-password"]).unwrap();
    let port = server.port();
    let wrong = "authenticate: WRONGPASS invalid username-password pair or user is disabled";
    for user_info in [":wrong-password@", "nobody:right-password@", "nobody@"] {
        let line = failure(&format!("url = 'redis://{user_info}127.0.0.1:{port}'")).await;
        assert_eq!(line, format!("{wrong} (127.0.0.1:{port})"));
    }
    assert_eq!(
        failure(&format!("url = 'redis://127.0.0.1:{port}'")).await,
        format!("authenticate: NOAUTH Authentication required (127.0.0.1:{port})")
    );
    ask(&check(&format!("url = 'redis://:right-password@127.0.0.1:{port}'")))
        .await
        .expect_working();
}

#[tokio::test]
async fn a_server_that_is_loading_says_so() {
    let mut server = Redis::start(&[
        "enable-debug-command yes",
        "key-load-delay 1000",
        "loading-process-events-interval-bytes 1024",
    ])
    .unwrap();
    server.ask(&["DEBUG", "POPULATE", "20000"]).unwrap();
    server.ask(&["SAVE"]).unwrap();
    server.server.restart().unwrap();
    assert_eq!(
        ask(&check_of(&server)).await.line(),
        format!(
            "write: LOADING Redis is loading the dataset in memory (127.0.0.1:{})",
            server.port()
        )
    );
}

#[tokio::test]
async fn a_server_without_room_for_clients_says_so() {
    let server = Redis::start(&["maxclients 1"]).unwrap();
    let _the_only_client = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    assert_eq!(
        ask(&check_of(&server)).await.line(),
        format!("handshake: ERR max number of clients reached (127.0.0.1:{})", server.port())
    );
}

#[tokio::test]
async fn a_missing_database_says_so() {
    let server = Redis::start(&["databases 4"]).unwrap();
    assert_eq!(
        failure(&format!("url = 'redis://127.0.0.1:{}/7'", server.port())).await,
        format!("select: ERR DB index is out of range (127.0.0.1:{})", server.port())
    );
}

#[tokio::test]
async fn a_server_of_another_kind_is_recognized() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for user_info in ["", ":secret-pass@"] {
        let line = failure(&format!("url = 'redis://{user_info}{address}'")).await;
        assert!(
            line.ends_with(&format!(": the server does not speak the Redis protocol ({address})")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_at_once_is_not_called_well() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let line = failure(&format!("url = 'redis://{address}'")).await;
    assert!(line.starts_with("handshake: connection "), "{line}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_says_so() {
    let line = failure("url = 'redis://nowhere.invalid'").await;
    assert!(line.starts_with("resolve: failed to lookup address information"), "{line}");
}
