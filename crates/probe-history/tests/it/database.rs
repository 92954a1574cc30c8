//! The database: stopped, silent, without its table, read-only, for somebody else.

use std::time::Duration;

use probe_history::KIND;
use probe_testkit::{checks, component, run};
use stack::clickhouse::Clickhouse;
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::stage::{PATIENCE, Stage, clickhouse_part, expect, failures, local};

#[tokio::test]
async fn a_database_that_cannot_be_read_is_told_by_its_own_check_and_by_the_events() {
    let mut stage = Stage::start();
    stage.localstack.bus(stage.history.port()).unwrap();
    let (component, at) = (stage.component(), local(stage.clickhouse.port()));
    assert_eq!(failures(&component).await, [""; 0]);

    // The service's own health endpoint asks the database as well, and waits longer than an event is waited for.
    stage.clickhouse.server.pause();
    let silent = checks(&component);
    let clickhouse = run(&silent[0].1, Duration::from_secs(1)).await;
    assert_eq!(clickhouse.cut_line(), format!("query: no answer within 1s ({at})"));
    let e2e = run(&silent[1].1, Duration::from_secs(4)).await;
    let line = e2e.cut_line();
    let beginning =
        format!("arrive: no answer from the database at {at} within 4s (the bus accepted it ");
    assert!(line.starts_with(&beginning), "{line}");
    stage.clickhouse.server.resume();
    assert_eq!(failures(&component).await, [""; 0]);

    stage.clickhouse.sql("DROP TABLE history.events").unwrap();
    let missing = "Table history.events doesn't exist (code 60)";
    let found = failures(&component).await;
    let own = format!("clickhouse: query: {missing} ({at})");
    expect(&found, &[&own, "e2e: arrive: the bus accepted "]);
    let end =
        format!(", but the database at {at} cannot be read: {missing} ({})", stage.bus_target());
    assert!(found[1].ends_with(&end), "{found:?}");

    stage.clickhouse.server.stop();
    let refused = format!("clickhouse: connect: connection refused ({at})");
    expect(
        &failures(&component).await,
        &[
            &refused,
            "e2e: arrive: the bus accepted ",
            "api: get: expected status 200, got 503 Service Unavailable (",
        ],
    );
}

#[tokio::test]
async fn a_replica_that_is_read_only_does_not_work_for_those_who_write() {
    let server = Clickhouse::start().unwrap();
    let at = local(server.port());
    let said =
        async |more: &str| failures(&component(&KIND, "history", &clickhouse_part(at, more))).await;
    assert_eq!(said("writes = true\n").await, [""; 0]);
    server.make_read_only().unwrap();
    assert_eq!(said("").await, [""; 0]);
    let expected = format!(
        "clickhouse: replica: the table history.events is a replica that is read-only for now: it has lost its coordinator, or is still starting ({at})"
    );
    assert_eq!(said("writes = true\n").await, [expected]);
}

#[tokio::test]
async fn wrong_credentials_are_a_failed_authentication() {
    let at = stack::clickhouse::shared().unwrap();
    let right = clickhouse_part(at, "");
    assert_eq!(failures(&component(&KIND, "history", &right)).await, [""; 0]);
    for (wrong, code) in [
        (right.replace(HEALTH_PASSWORD, "wrong"), "(code 193)"),
        (right.replace(&format!("'{HEALTH_USER}'"), "'nobody'"), "(code 192)"),
    ] {
        let found = failures(&component(&KIND, "history", &wrong)).await;
        assert!(found.len() == 1 && found[0].contains(code), "{found:?}");
        assert!(found[0].starts_with("clickhouse: authenticate: "), "{found:?}");
    }
}

#[tokio::test]
async fn a_restarted_database_is_no_alarm() {
    let mut server = Clickhouse::start().unwrap();
    let component = component(&KIND, "history", &clickhouse_part(local(server.port()), ""));
    let check = checks(&component).remove(0).1;
    run(&check, PATIENCE).await.expect_working();
    server.server.restart().unwrap();
    run(&check, PATIENCE).await.expect_working();
}
