//! A server that is down, silent, restarted, or on its way out.

use crate::{IMPATIENCE, check, check_line, private, run, url};

#[tokio::test]
async fn a_server_that_is_down_refuses_connections() {
    let port = stack::free_port().unwrap();
    check_line(port, &url(port), "", "connect: connection refused (127.0.0.1:PORT)").await;
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named_by_its_step() {
    let outcome = run(&check("postgres://u:p@absent.invalid/app", "")).await;
    let line = outcome.line();
    assert!(line.starts_with("resolve: "), "{line}");
    assert!(line.ends_with(" (absent.invalid:5432)"), "{line}");
}

#[tokio::test]
async fn a_silent_server_gets_no_answer_to_the_step_and_is_well_when_it_goes_on() {
    let server = private(&[]);
    let kept = check(&url(server.port()), "");
    run(&kept).await.expect_working();
    server.server.pause();
    let cut = probe_testkit::run(&kept, IMPATIENCE).await;
    assert_eq!(cut.cut_step(), "query");
    let cut = probe_testkit::run(&kept, IMPATIENCE).await;
    assert_eq!(cut.cut_step(), "negotiate");
    let plain = check(&format!("{}?sslmode=disable", url(server.port())), "");
    assert_eq!(probe_testkit::run(&plain, IMPATIENCE).await.cut_step(), "authenticate");
    server.server.resume();
    run(&kept).await.expect_working();
    run(&plain).await.expect_working();
}

#[tokio::test]
async fn a_restart_between_two_runs_is_no_alarm() {
    let mut server = private(&[]);
    let check = check(&url(server.port()), "");
    run(&check).await.expect_working();
    server.server.restart().unwrap();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_session_that_the_administrator_ended_is_no_alarm() {
    let server = private(&[]);
    let check = check(&url(server.port()), "");
    run(&check).await.expect_working();
    let end =
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'health'";
    server.sql("postgres", end).unwrap();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_server_that_shuts_down_says_so_to_new_sessions_and_serves_the_old_ones() {
    let server = private(&[]);
    let kept = check(&url(server.port()), "");
    run(&kept).await.expect_working();
    // This lets sessions end by themselves.
    server.server.terminate();
    let expected = "connect: the database system is shutting down, SQLSTATE 57P03 (127.0.0.1:PORT)";
    let fresh = check(&url(server.port()), "connection = 'fresh'");
    // The server takes a moment to notice the signal.
    let mut outcome = run(&fresh).await;
    while outcome.is_working() {
        outcome = run(&fresh).await;
    }
    assert_eq!(outcome.line(), expected.replace("PORT", &server.port().to_string()));
    run(&kept).await.expect_working();
}
