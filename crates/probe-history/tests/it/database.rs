//! Failures of the database: stopped, silent, without its table, read-only, wrong credentials.

use std::time::Duration;

use probe_history::KIND;
use probe_testkit::{checks, component, run};
use stack::clickhouse::Clickhouse;
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::pipeline::{Pipeline, TIMEOUT, assert_lines, clickhouse_settings, failures, local};

#[tokio::test]
async fn an_unreadable_database_is_reported_by_its_own_check_and_by_e2e() {
    let mut pipeline = Pipeline::start();
    pipeline.localstack.bus(pipeline.history.port()).unwrap();
    let (component, at) = (pipeline.component(), local(pipeline.clickhouse.port()));
    assert_eq!(failures(&component).await, [""; 0]);

    // `api` is not run here: the service's health endpoint queries the database, too, with a long timeout.
    pipeline.clickhouse.server.pause();
    let silent = checks(&component);
    let clickhouse = run(&silent[0].1, Duration::from_secs(1)).await;
    assert_eq!(clickhouse.timed_out_line(), format!("query: no answer within 1s ({at})"));
    let e2e = run(&silent[1].1, Duration::from_secs(4)).await;
    let line = e2e.timed_out_line();
    let beginning =
        format!("arrive: no answer from the database at {at} within 4s (the bus accepted it ");
    assert!(line.starts_with(&beginning), "{line}");
    pipeline.clickhouse.server.resume();
    assert_eq!(failures(&component).await, [""; 0]);

    pipeline.clickhouse.sql("DROP TABLE history.events").unwrap();
    let missing = "Table history.events doesn't exist (code 60)";
    let found = failures(&component).await;
    let own = format!("clickhouse: query: {missing} ({at})");
    assert_lines(&found, &[&own, "e2e: arrive: the bus accepted "]);
    let end =
        format!(", but the database at {at} cannot be read: {missing} ({})", pipeline.bus_target());
    assert!(found[1].ends_with(&end), "{found:?}");

    pipeline.clickhouse.server.stop();
    let refused = format!("clickhouse: connect: connection refused ({at})");
    assert_lines(
        &failures(&component).await,
        &[
            &refused,
            "e2e: arrive: the bus accepted ",
            "api: get: expected status 200, got 503 Service Unavailable (",
        ],
    );
}

#[tokio::test]
async fn the_user_may_be_part_of_the_url() {
    let at = stack::CLICKHOUSE;
    let lines = async |user: &str| {
        let settings = format!(
            "[clickhouse]\nurl = 'http://{user}@{at}'\ndatabase = 'history'\ntable = 'events'\n"
        );
        failures(&component(&KIND, "history", &settings)).await
    };
    assert_eq!(lines(&format!("{HEALTH_USER}:{HEALTH_PASSWORD}")).await, [""; 0]);
    let refused = lines(&format!("{HEALTH_USER}:not-the-password")).await;
    assert_lines(&refused, &["clickhouse: authenticate: "]);
}

#[tokio::test]
async fn a_read_only_replica_fails_if_the_application_writes() {
    let server = Clickhouse::start().unwrap();
    let at = local(server.port());
    let lines = async |more: &str| {
        failures(&component(&KIND, "history", &clickhouse_settings(at, more))).await
    };
    assert_eq!(lines("writes = true\n").await, [""; 0]);
    server.make_read_only().unwrap();
    assert_eq!(lines("").await, [""; 0]);
    let expected = format!(
        "clickhouse: replica: the table history.events is a read-only replica: it has lost its coordinator, or is still starting ({at})"
    );
    assert_eq!(lines("writes = true\n").await, [expected]);
}

#[tokio::test]
async fn what_prevents_writes_is_reported_if_the_application_writes() {
    let server = Clickhouse::start().unwrap();
    let at = local(server.port());
    let settings = "writes = true\ncolumns = ['id', 'detail']\nstuck_after = '1s'\n";
    let lines = async |more: &str| {
        failures(&component(&KIND, "history", &clickhouse_settings(at, more))).await
    };
    let check_line = async |expected: &str| {
        let expected = format!("clickhouse: writes: the table history.events {expected} ({at})");
        assert_eq!(lines(settings).await, [expected]);
        assert_eq!(lines("").await, [""; 0]);
    };
    assert_eq!(lines(settings).await, [""; 0]);

    server.sql("ALTER TABLE history.events DROP COLUMN detail").unwrap();
    check_line("has no column `detail`").await;
    server.sql("ALTER TABLE history.events ADD COLUMN detail String").unwrap();
    assert_eq!(lines(settings).await, [""; 0]);

    server.recreate_table(", parts_to_throw_insert = 3, parts_to_delay_insert = 3").unwrap();
    server.sql("SYSTEM STOP MERGES").unwrap();
    let insert = "INSERT INTO history.events (id, received) VALUES ('abc', now())";
    for _ in 0..3 {
        server.sql(insert).unwrap();
    }
    assert!(server.sql(insert).is_err(), "the server accepts more parts");
    check_line("has 3 active parts in one partition, its limit is 3").await;
    server.sql("SYSTEM START MERGES").unwrap();
    server.sql("OPTIMIZE TABLE history.events").unwrap();
    assert_eq!(lines(settings).await, [""; 0]);

    // The server retries a failed mutation for ever.
    server.sql("ALTER TABLE history.events DELETE WHERE toUInt64(id) = 1").unwrap();
    let mut found = lines(settings).await;
    while found.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        found = lines(settings).await;
    }
    check_line("has 1 mutation not done after 1s").await;
    server.recreate_table("").unwrap();
    assert_eq!(lines(settings).await, [""; 0]);
}

#[tokio::test]
async fn wrong_credentials_fail_in_the_authenticate_step() {
    let at = stack::clickhouse::shared().unwrap();
    let correct = clickhouse_settings(at, "");
    assert_eq!(failures(&component(&KIND, "history", &correct)).await, [""; 0]);
    for (wrong, code) in [
        (correct.replace(HEALTH_PASSWORD, "not-the-password"), "(code 193)"),
        (correct.replace(&format!("'{HEALTH_USER}'"), "'unknown'"), "(code 192)"),
    ] {
        let found = failures(&component(&KIND, "history", &wrong)).await;
        assert!(found.len() == 1 && found[0].contains(code), "{found:?}");
        assert!(found[0].starts_with("clickhouse: authenticate: "), "{found:?}");
    }
}

#[tokio::test]
async fn a_restarted_database_causes_no_failure() {
    let mut server = Clickhouse::start().unwrap();
    let component = component(&KIND, "history", &clickhouse_settings(local(server.port()), ""));
    let check = checks(&component).remove(0).1;
    run(&check, TIMEOUT).await.expect_working();
    server.server.restart().unwrap();
    run(&check, TIMEOUT).await.expect_working();
}
