//! Servers that do not have the role that the application needs.

use std::sync::Arc;
use std::time::Duration;

use probe::{DynCheck, Observation, Steps};
use probe_testkit::RunOutcome;

use crate::{DEADLINE, check, check_line, private, run, url};

#[tokio::test]
async fn a_read_only_server_is_a_failure() {
    let mut server = private(&["default_transaction_read_only = on"]);
    let port = server.port();
    let expected = "role: read-only: `default_transaction_read_only` is on for this server, database or user (127.0.0.1:PORT)";
    check_line(port, &url(port), "", expected).await;
    run(&check(&url(port), "role = 'any'")).await.expect_working();
    server.configure(&["default_transaction_read_only = off"]).unwrap();
    run(&check(&url(port), "")).await.expect_working();
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

/// Runs `check` until its outcome is as `wanted`.
async fn wait_for(check: &Arc<dyn DynCheck>, wanted: impl Fn(&RunOutcome) -> bool) -> RunOutcome {
    let wait = async {
        loop {
            let outcome = run(check).await;
            if wanted(&outcome) {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap()
}

#[tokio::test]
async fn a_replica_that_lags_is_a_failure_with_its_reason() {
    let mut primary = private(&[]);
    let replica = primary.replica().unwrap();
    let strict = || check(&url(replica.port()), "role = 'replica'\nmax_lag = '100ms'");
    let check = strict();
    // The last transaction is older than the limit, and the primary is idle.
    primary.sql("app", "CREATE TABLE data (value int)").unwrap();
    wait_for(&check, RunOutcome::is_working).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    run(&check).await.expect_working();
    run(&strict()).await.expect_working();

    replica.sql("postgres", "SELECT pg_wal_replay_pause()").unwrap();
    run(&check).await.expect_working();
    primary.sql("app", "INSERT INTO data VALUES (1)").unwrap();
    for check in [&check, &strict()] {
        wait_for(check, |outcome| !outcome.is_working()).await;
        let steps = Steps::new();
        check.check(&steps).await.unwrap_err();
        let observed = |it: &Observation| matches!(it, Observation::PostgresReplicationLag(lag) if lag.as_millis() > 100);
        assert!(steps.observations().iter().any(observed), "{:?}", steps.observations());
        let line = wait_for(check, |outcome| !outcome.is_working()).await.line().to_owned();
        let expected = " behind the primary, replay is paused, expected at most 100ms (127.0.0.1:";
        assert!(line.starts_with("lag: ") && line.contains(expected), "{line}");
    }
    replica.sql("postgres", "SELECT pg_wal_replay_resume()").unwrap();
    wait_for(&check, RunOutcome::is_working).await;

    primary.server.stop();
    let line = wait_for(&check, |outcome| !outcome.is_working()).await.line().to_owned();
    assert!(line.contains(" behind the primary, not connected to it, "), "{line}");
}
