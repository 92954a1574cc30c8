//! A server that is down, silent, restarted, or shutting down.

use crate::{SHORT_DEADLINE, check, check_line, private, run, url};

#[tokio::test]
async fn a_server_that_is_down_refuses_the_connection() {
    let port = stack::free_port().unwrap();
    check_line(port, &url(port), "", "connect: connection refused (127.0.0.1:PORT)").await;
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
    assert_eq!(cut.cut_step(), "query");
    let cut = probe_testkit::run(&kept, SHORT_DEADLINE).await;
    assert_eq!(cut.cut_step(), "negotiate");
    let plain = check(&format!("{}?sslmode=disable", url(server.port())), "");
    assert_eq!(probe_testkit::run(&plain, SHORT_DEADLINE).await.cut_step(), "authenticate");
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
    let server = private(&[]);
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
}
