//! Servers that do not have the role that the application needs.

use crate::{check, check_line, private, run, url};

#[tokio::test]
async fn a_read_only_server_is_a_failure() {
    let server = private(&["default_transaction_read_only = on"]);
    let port = server.port();
    let expected = "role: read-only: `default_transaction_read_only` is on for this server, database or user (127.0.0.1:PORT)";
    check_line(port, &url(port), "", expected).await;
    run(&check(&url(port), "role = 'any'")).await.expect_working();
}

#[tokio::test]
async fn a_change_of_read_only_is_detected_after_the_session_has_ended() {
    let server = private(&[]);
    let check = check(&url(server.port()), "");
    run(&check).await.expect_working();
    for (value, works) in [("on", false), ("off", true)] {
        let change = format!("ALTER DATABASE app SET default_transaction_read_only = {value};");
        server.sql("postgres", &change).unwrap();
        // The setting applies to new sessions only.
        let drop_sessions = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'health'";
        server.sql("postgres", drop_sessions).unwrap();
        assert_eq!(run(&check).await.is_working(), works, "read-only is {value}");
    }
}

#[tokio::test]
async fn a_replica_is_not_a_primary_and_a_primary_is_not_a_replica() {
    let primary = private(&[]);
    let replica = primary.replica().unwrap();
    let (primary, replica) = (primary.port(), replica.port());
    let expected =
        "role: read-only: expected a primary, found a replica (in recovery) (127.0.0.1:PORT)";
    check_line(replica, &url(replica), "", expected).await;
    run(&check(&url(replica), "role = 'replica'")).await.expect_working();
    run(&check(&url(replica), "role = 'any'")).await.expect_working();
    let expected = "role: expected a replica, found a primary (not in recovery) (127.0.0.1:PORT)";
    check_line(primary, &url(primary), "role = 'replica'", expected).await;
}

#[tokio::test]
async fn a_promoted_replica_is_a_primary_from_the_next_run_on() {
    let primary = private(&[]);
    let replica = primary.replica().unwrap();
    let check = check(&url(replica.port()), "");
    assert!(!run(&check).await.is_working());
    replica.sql("postgres", "SELECT pg_promote()").unwrap();
    run(&check).await.expect_working();
}
