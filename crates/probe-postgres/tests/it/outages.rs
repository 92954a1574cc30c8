//! A server that is down, silent, restarted, or shutting down.

use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_testkit::{FaultProxy, RunOutcome};

use crate::{DEADLINE, SHORT_DEADLINE, check, private, run, url};

#[tokio::test]
async fn a_server_that_is_down_refuses_the_connection() {
    let mut server = private(&[]);
    let (port, check) = (server.port(), check(&url(server.port()), ""));
    server.server.stop();
    let refused = format!("connect: connection refused (127.0.0.1:{port})");
    assert_eq!(run(&check).await.line(), refused);
    server.server.restart().unwrap();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_host_that_does_not_exist_fails_in_resolve() {
    let outcome = run(&check("postgres://u:p@absent.invalid/app", "")).await;
    let line = outcome.line();
    assert!(line.starts_with("resolve: "), "{line}");
    assert!(line.ends_with(" (absent.invalid:5432)"), "{line}");
}

#[tokio::test]
async fn a_silent_server_times_out_in_its_step_and_works_when_it_resumes() {
    let server = private(&[]);
    let kept = check(&url(server.port()), "");
    run(&kept).await.expect_working();
    server.server.pause();
    let cut = probe_testkit::run(&kept, SHORT_DEADLINE).await;
    assert_eq!(cut.timed_out_step(), "query");
    let cut = probe_testkit::run(&kept, SHORT_DEADLINE).await;
    assert_eq!(cut.timed_out_step(), "negotiate");
    let plain = check(&format!("{}?sslmode=disable", url(server.port())), "");
    assert_eq!(probe_testkit::run(&plain, SHORT_DEADLINE).await.timed_out_step(), "authenticate");
    server.server.resume();
    run(&kept).await.expect_working();
    run(&plain).await.expect_working();
}

#[tokio::test]
async fn a_restart_between_two_runs_is_not_a_failure() {
    let mut server = private(&[]);
    let check = check(&url(server.port()), "");
    run(&check).await.expect_working();
    server.server.restart().unwrap();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_terminated_session_is_not_a_failure() {
    let server = private(&[]);
    let check = check(&url(server.port()), "");
    run(&check).await.expect_working();
    let end =
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'health'";
    server.sql("postgres", end).unwrap();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_server_that_shuts_down_refuses_new_sessions_and_serves_old_ones() {
    let mut server = private(&[]);
    let kept = check(&url(server.port()), "");
    run(&kept).await.expect_working();
    // A smart shutdown waits for the sessions to end.
    server.server.terminate();
    let expected = "connect: the database system is shutting down, SQLSTATE 57P03 (127.0.0.1:PORT)";
    let fresh = check(&url(server.port()), "connection = 'fresh'");
    // The server takes a moment to handle the signal.
    let mut outcome = run(&fresh).await;
    while outcome.is_working() {
        outcome = run(&fresh).await;
    }
    assert_eq!(outcome.line(), expected.replace("PORT", &server.port().to_string()));
    run(&kept).await.expect_working();
    drop(kept);
    server.server.restart().unwrap();
    run(&fresh).await.expect_working();
}

/// Runs `check` until its line begins with `start`.
async fn wait_for_line(check: &Arc<dyn DynCheck>, start: &str) {
    let wait = async {
        loop {
            match run(check).await {
                RunOutcome::Failed { line, .. } if line.starts_with(start) => return,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "no line `{start}`");
}

#[tokio::test]
async fn a_smart_shutdown_does_not_wait_for_a_kept_connection() {
    let server = private(&[]);
    let check = check(&url(server.port()), "reconnect = '1s'");
    run(&check).await.expect_working();
    server.server.terminate();
    wait_for_line(&check, "connect: connection refused").await;
}

#[tokio::test]
async fn a_database_without_connections_is_reported_while_one_is_kept() {
    let server = private(&[]);
    let check = check(&url(server.port()), "reconnect = '1s'");
    run(&check).await.expect_working();
    server.sql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS false").unwrap();
    let expected = r#"connect: database "app" is not currently accepting connections"#;
    wait_for_line(&check, expected).await;
    server.sql("postgres", "ALTER DATABASE app ALLOW_CONNECTIONS true").unwrap();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn an_unused_connection_is_closed() {
    let server = private(&[]);
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    let check = check(&url(proxy.address().port()), "reconnect = '1s'");
    run(&check).await.expect_working();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'health'";
    let closed = async {
        while server.sql("postgres", sessions).unwrap().trim() != "0" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, closed).await.is_ok(), "the session stays open");
    run(&check).await.expect_working();
    assert_eq!(proxy.counts().accepted, 2);
}
