//! A server that answers, and does not let us in.

use stack::postgres::shared;
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::{check, check_line, private, run, url};

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_told() {
    let port = shared().unwrap().port();
    let url = url(port).replace(HEALTH_PASSWORD, "hunter2-is-wrong");
    let expected = r#"authenticate: password authentication failed for user "health", SQLSTATE 28P01 (127.0.0.1:PORT)"#;
    check_line(port, &url, "", expected).await;
}

#[tokio::test]
async fn a_missing_password_is_named() {
    let port = shared().unwrap().port();
    let url = url(port).replace(&format!(":{HEALTH_PASSWORD}"), "");
    check_line(port, &url, "", "authenticate: password missing (127.0.0.1:PORT)").await;
}

#[tokio::test]
async fn a_user_that_does_not_exist_reads_like_a_wrong_password() {
    let port = shared().unwrap().port();
    let url = url(port).replace(&format!("{HEALTH_USER}:"), "nobody:");
    let expected = r#"authenticate: password authentication failed for user "nobody", SQLSTATE 28P01 (127.0.0.1:PORT)"#;
    check_line(port, &url, "", expected).await;
}

#[tokio::test]
async fn an_unknown_database_is_named() {
    let port = shared().unwrap().port();
    let url = url(port).replace("/app", "/absent");
    let expected = r#"connect: database "absent" does not exist, SQLSTATE 3D000 (127.0.0.1:PORT)"#;
    check_line(port, &url, "", expected).await;
}

#[tokio::test]
async fn a_database_without_our_right_to_connect_is_named() {
    let port = shared().unwrap().port();
    let url = url(port).replace("/app", "/template1");
    // Everybody may connect to `template1`; that is as much as the check needs.
    run(&check(&url, "")).await.expect_working();
    let server = private(&[]);
    server.sql("postgres", "REVOKE CONNECT ON DATABASE app FROM health").unwrap();
    let expected =
        r#"connect: permission denied for database "app", SQLSTATE 42501 (127.0.0.1:PORT)"#;
    check_line(server.port(), &crate::url(server.port()), "", expected).await;
}

#[tokio::test]
async fn a_server_out_of_connections_says_so_to_a_fresh_one_and_recovers() {
    // The default reserves three of them for the administrator, so two are left for us.
    let server = private(&["max_connections = 5", "max_wal_senders = 0"]);
    let url = url(server.port());
    let holder = check(&url, "");
    let other = check(&url, "");
    run(&holder).await.expect_working();
    run(&other).await.expect_working();

    let fresh = check(&url, "connection = 'fresh'");
    let outcome = run(&fresh).await;
    let line = outcome.line();
    assert!(line.starts_with("connect: ") && line.contains("SQLSTATE 53300"), "{line}");
    run(&holder).await.expect_working();

    drop(other);
    wait_for_sessions(&server, 1).await;
    run(&fresh).await.expect_working();
}

/// Waits until the server itself has closed all but so many of our sessions.
async fn wait_for_sessions(server: &stack::postgres::Postgres, count: usize) {
    let question = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'health'";
    while server.sql("postgres", question).unwrap() != count.to_string() {
        // Our side of the connection is closed by a task of this very runtime.
        tokio::task::yield_now().await;
    }
}
