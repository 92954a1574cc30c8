//! A healthy server, and the connections that a check opens to it.

use probe::{Observation, Steps};
use stack::postgres::{shared, sql};

use crate::{check, private, run, url};

/// The process IDs of the sessions with this `application_name`.
fn sessions(name: &str) -> Vec<String> {
    let query = format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'");
    let pids = sql(shared().unwrap().port(), "postgres", &query).unwrap();
    pids.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn twenty_runs_use_one_connection() {
    let url = url(shared().unwrap().port());
    let check = check(&format!("{url}?application_name=twenty-runs"), "");
    run(&check).await.expect_working();
    let first = sessions("twenty-runs");
    for _ in 1..20 {
        run(&check).await.expect_working();
    }
    assert_eq!(first.len(), 1);
    assert_eq!(sessions("twenty-runs"), first);
}

#[tokio::test]
async fn concurrent_runs_share_one_connection() {
    let url = url(shared().unwrap().port());
    let check = check(&format!("{url}?application_name=same-time"), "");
    let runs: Vec<_> = (0..20)
        .map(|_| {
            let check = check.clone();
            tokio::spawn(async move { run(&check).await.expect_working() })
        })
        .collect();
    for run in runs {
        run.await.unwrap();
    }
    assert_eq!(sessions("same-time").len(), 1);
}

#[tokio::test]
async fn with_fresh_each_run_opens_and_closes_a_connection() {
    let server = shared().unwrap();
    let proxy = probe_testkit::FaultProxy::start(server);
    let check = check(&url(proxy.address().port()), "connection = 'fresh'");
    for _ in 0..3 {
        run(&check).await.expect_working();
    }
    assert_eq!(proxy.wait_for_open(0).await.accepted, 3);
}

#[tokio::test]
async fn the_session_has_the_name_of_the_gateway_and_ends_with_the_check() {
    let proxy = probe_testkit::FaultProxy::start(shared().unwrap());
    let check = check(&url(proxy.address().port()), "role = 'any'");
    run(&check).await.expect_working();
    assert!(!sessions("health-gateway").is_empty());
    drop(check);
    proxy.wait_for_open(0).await;
}

#[tokio::test]
async fn the_connections_of_the_server_and_their_limit_are_observed() {
    let server = private(&["max_connections = 23", "autovacuum = off"]);
    let other = check(&format!("{}?application_name=other", url(server.port())), "");
    run(&other).await.expect_working();
    let check = check(&url(server.port()), "");
    for _ in 0..2 {
        let steps = Steps::new();
        check.check(&steps).await.unwrap();
        let expected =
            [Observation::PostgresConnections(2), Observation::PostgresConnectionsMax(23)];
        assert_eq!(steps.observations(), expected);
    }
}

#[tokio::test]
async fn a_user_that_may_not_see_the_connections_is_no_failure() {
    let server = private(&[]);
    server.sql("app", "REVOKE SELECT ON pg_stat_database FROM PUBLIC").unwrap();
    let (check, steps) = (check(&url(server.port()), ""), Steps::new());
    check.check(&steps).await.unwrap();
    assert_eq!(steps.observations(), []);
}
