//! Failures of a server, and the line that reports each of them.

use std::net::{Ipv4Addr, SocketAddr};

use probe_testkit::{FaultProxy, checks, component, run, serve_tcp, single};
use stack::redis::Redis;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{
    MANY, ONE, SHORT_TIMEOUT, SUBSCRIPTION, TIMEOUT, check, check_of, execute, failure,
};

#[tokio::test]
async fn a_server_that_is_down_is_reported_and_the_first_run_after_its_restart_succeeds() {
    let mut server = Redis::start(&[]).unwrap();
    let check = check_of(&server);
    execute(&check).await.expect_working();
    server.server.stop();
    let refused = format!("connect: connection refused (127.0.0.1:{})", server.port());
    assert_eq!(execute(&check).await.line(), refused);
    server.server.restart().unwrap();
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn a_restart_between_two_runs_causes_no_failure() {
    let mut server = Redis::start(&[]).unwrap();
    let check = check_of(&server);
    for _ in 0..3 {
        execute(&check).await.expect_working();
        server.server.restart().unwrap();
    }
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn a_silent_server_times_out_in_the_current_step() {
    let server = Redis::start(&[]).unwrap();
    let (connected, unconnected) = (check_of(&server), check_of(&server));
    let with_password = check(&format!("url = 'redis://:secret@127.0.0.1:{}'", server.port()));
    execute(&connected).await.expect_working();
    server.server.pause();
    assert_eq!(run(&connected, SHORT_TIMEOUT).await.timed_out_step(), "write");
    assert_eq!(run(&unconnected, SHORT_TIMEOUT).await.timed_out_step(), "handshake");
    assert_eq!(run(&with_password, SHORT_TIMEOUT).await.timed_out_step(), "authenticate");
    server.server.resume();
    execute(&connected).await.expect_working();
    execute(&unconnected).await.expect_working();
}

#[tokio::test]
async fn a_lost_connection_is_replaced_within_the_same_run() {
    let server = Redis::start(&[]).unwrap();
    let proxy = FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())));
    let check = check(&format!("url = 'redis://{}'", proxy.address()));
    execute(&check).await.expect_working();
    proxy.reset().await;
    execute(&check).await.expect_working();
    proxy.close().await;
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn refused_credentials_are_reported_with_the_server_s_reply() {
    let server = Redis::start(&["requirepass right-password"]).unwrap();
    let port = server.port();
    let wrong = "authenticate: WRONGPASS invalid username-password pair or user is disabled";
    for user_info in [":wrong-password@", "unknown:right-password@", "unknown:@"] {
        let line = failure(&format!("url = 'redis://{user_info}127.0.0.1:{port}'")).await;
        assert_eq!(line, format!("{wrong} (127.0.0.1:{port})"));
    }
    assert_eq!(
        failure(&format!("url = 'redis://127.0.0.1:{port}'")).await,
        format!("authenticate: NOAUTH Authentication required (127.0.0.1:{port})")
    );
    execute(&check(&format!("url = 'redis://:right-password@127.0.0.1:{port}'")))
        .await
        .expect_working();
}

#[tokio::test]
async fn a_server_that_is_loading_is_reported() {
    let mut server = Redis::start(&[
        "enable-debug-command yes",
        "key-load-delay 1000",
        "loading-process-events-interval-bytes 1024",
    ])
    .unwrap();
    server.command(&["DEBUG", "POPULATE", "20000"]).unwrap();
    server.command(&["SAVE"]).unwrap();
    server.server.restart().unwrap();
    let check = check_of(&server);
    assert_eq!(
        execute(&check).await.line(),
        format!(
            "write: LOADING Redis is loading the dataset in memory (127.0.0.1:{})",
            server.port()
        )
    );
    server.command(&["CONFIG", "SET", "key-load-delay", "0"]).unwrap();
    server.wait_for(&["PING"], "PONG").unwrap();
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn a_server_at_its_client_limit_is_reported() {
    let server = Redis::start(&["maxclients 1"]).unwrap();
    let the_only_client = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let check = check_of(&server);
    assert_eq!(
        execute(&check).await.line(),
        format!("handshake: ERR max number of clients reached (127.0.0.1:{})", server.port())
    );
    drop(the_only_client);
    server.wait_for(&["PING"], "PONG").unwrap();
    // The server may not have noticed the end of that client yet.
    let free = async { while !execute(&check).await.is_working() {} };
    tokio::time::timeout(TIMEOUT, free).await.unwrap();
}

#[tokio::test]
async fn a_missing_database_is_reported() {
    let server = Redis::start(&["databases 4"]).unwrap();
    assert_eq!(
        failure(&format!("url = 'redis://127.0.0.1:{}/7'", server.port())).await,
        format!("select: ERR DB index is out of range (127.0.0.1:{})", server.port())
    );
    execute(&check(&format!("url = 'redis://127.0.0.1:{}/3'", server.port())))
        .await
        .expect_working();
}

#[tokio::test]
async fn a_refused_command_is_named_also_if_its_database_is_selected_first() {
    let rules = "user me on >my-password ~* -@all +set +get +del";
    let server = Redis::start(&["busy-reply-threshold 1", rules]).unwrap();
    let databases =
        format!("zero = 'redis://127.0.0.1:{0}/0'\none = 'redis://127.0.0.1:{0}/1'", server.port());
    let both = checks(&component(&MANY, "cache", &databases));
    for (database, name) in [("0", "zero"), ("1", "one")] {
        server.command(&["-n", database, "SET", "where", name]).unwrap();
    }
    for (_, check) in &both {
        execute(check).await.expect_working();
    }
    let mut other = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    other.write_all(b"EVAL 'while true do end' 0\r\n").await.unwrap();
    server.wait_for(&["PING"], "BUSY ").unwrap();
    for (_, check) in &both {
        let line = execute(check).await.line().to_owned();
        assert!(line.starts_with("write: BUSY "), "{line}");
    }
    server.command(&["SCRIPT", "KILL"]).unwrap();
    server.wait_for(&["PING"], "PONG").unwrap();
    for (_, check) in &both {
        execute(check).await.expect_working();
    }

    let denied = databases.replace("//", "//me:my-password@");
    let lines = checks(&component(&MANY, "cache", &denied));
    let line = execute(&lines[1].1).await.line().to_owned();
    assert!(line.starts_with("select: NOPERM "), "{line}");
    // The database of the other check is now selected on the connection of both.
    let line = execute(&lines[0].1).await.line().to_owned();
    assert!(line.starts_with("select: NOPERM "), "{line}");
}

#[tokio::test]
async fn a_server_of_another_protocol_is_reported() {
    let address = serve_tcp(|mut stream| async move {
        // The client may have closed the connection already.
        let _closed = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    for user_info in ["", ":secret-pass@"] {
        let line = failure(&format!("url = 'redis://{user_info}{address}'")).await;
        assert!(
            line.ends_with(&format!(": the server does not speak the Redis protocol ({address})")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_server_that_closes_every_connection_is_not_working() {
    let address = serve_tcp(|stream| async { drop(stream) }).await;
    let line = failure(&format!("url = 'redis://{address}'")).await;
    assert!(line.starts_with("handshake: connection "), "{line}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_reported() {
    let line = failure("url = 'redis://nowhere.invalid'").await;
    assert!(line.starts_with("resolve: failed to lookup address information"), "{line}");
}

#[tokio::test]
async fn a_refused_password_is_not_tried_again_before_a_pause() {
    for kind in [&ONE, &SUBSCRIPTION] {
        let server = Redis::start(&["requirepass right-password"]).unwrap();
        let url = format!("url = 'redis://:wrong-password@127.0.0.1:{}'", server.port());
        let check = single(kind, "redis", &url);
        let refused = "authenticate: WRONGPASS invalid username-password pair or user is disabled";
        for _ in 0..20 {
            assert!(execute(&check).await.line().starts_with(refused));
        }
        let line = execute(&check).await.line().to_owned();
        assert!(line.starts_with(&format!("{refused}, refused ")), "{line}");
        let log = ["-a", "right-password", "--no-auth-warning", "--json", "ACL", "LOG"];
        let log = server.command(&log).unwrap();
        assert!(log.contains(r#""count":1,"reason":"auth""#), "{log}");
    }
}

#[tokio::test]
async fn a_subscription_logs_in() {
    let server = Redis::start(&["user me on >my-password ~* &* +@all"]).unwrap();
    let subscribe = |user_info: &str, database: u16| {
        let url = format!("redis://{user_info}127.0.0.1:{}/{database}", server.port());
        single(&SUBSCRIPTION, "redis", &format!("url = '{url}'"))
    };
    execute(&subscribe("me:my-password@", 1)).await.expect_working();
    execute(&subscribe("", 0)).await.expect_working();
    server.command(&["CONFIG", "SET", "requirepass", "password"]).unwrap();
    execute(&subscribe(":password@", 0)).await.expect_working();
    let line = execute(&subscribe("", 0)).await.line().to_owned();
    assert!(line.contains("NOAUTH Authentication required"), "{line}");
}

#[tokio::test]
async fn a_subscription_at_the_client_limit_is_no_refused_login() {
    let server = Redis::start(&["requirepass password", "maxclients 1"]).unwrap();
    let the_only_client = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
    let url = format!("url = 'redis://:password@127.0.0.1:{}'", server.port());
    let check = single(&SUBSCRIPTION, "redis", &url);
    for _ in 0..2 {
        let full = "handshake: ERR max number of clients reached";
        assert_eq!(execute(&check).await.line(), format!("{full} (127.0.0.1:{})", server.port()));
    }
    drop(the_only_client);
    let free = async { while !execute(&check).await.is_working() {} };
    tokio::time::timeout(TIMEOUT, free).await.unwrap();
}

#[tokio::test]
async fn a_password_that_the_server_was_given_is_reported_while_a_connection_is_kept() {
    let server = Redis::start(&[]).unwrap();
    let check = check(&format!("url = 'redis://127.0.0.1:{}'\nreconnect = '1s'", server.port()));
    execute(&check).await.expect_working();
    assert_eq!(server.command(&["CONFIG", "SET", "requirepass", "new-password"]).unwrap(), "OK");
    let refused = async {
        while execute(&check).await.is_working() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        execute(&check).await.line().to_owned()
    };
    let line = tokio::time::timeout(TIMEOUT, refused).await.unwrap();
    assert!(line.starts_with("authenticate: NOAUTH "), "{line}");
    server.command(&["-a", "new-password", "CONFIG", "SET", "requirepass", ""]).unwrap();
    execute(&check).await.expect_working();
}
