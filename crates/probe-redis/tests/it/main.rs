//! The probe against real servers: the shared one, and private ones that answer and cannot do their work.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use probe_redis::KIND;
use probe_testkit::{Outcome, Subject, diagnostics, promises, run, single};
use stack::redis::{Redis, shared};
use stack::{HEALTH_PASSWORD, HEALTH_USER};

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// One run of a check with these lines.
async fn outcome(toml: &str) -> Outcome {
    run(&single(&KIND, "redis", toml), PATIENCE).await
}

/// One run against this server, with further lines.
async fn ask(server: &Redis, more: &str) -> Outcome {
    outcome(&format!("url = 'redis://127.0.0.1:{}'\n{more}", server.port())).await
}

/// One run as the user `me` of a private server.
async fn ask_as_me(server: &Redis, database: u8, more: &str) -> Outcome {
    let port = server.port();
    outcome(&format!("url = 'redis://me:my-password@127.0.0.1:{port}/{database}'\n{more}")).await
}

/// A server whose user `me` may do this.
fn server_for(rules: &str) -> Redis {
    Redis::start(&[&format!("user me on >my-password {rules}")]).unwrap()
}

fn check_begins(outcome: &Outcome, expected: &str) {
    let line = outcome.line();
    assert!(line.starts_with(expected), "expected `{expected}`, got `{line}`");
}

#[tokio::test]
async fn keeps_its_promises() {
    promises(Subject {
        kind: KIND,
        section: "sessions",
        config: Box::new(|address| {
            format!("url = 'redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}/0'\n")
        }),
        upstream: shared().unwrap(),
        secrets: vec![HEALTH_PASSWORD.to_owned()],
        connections: 1,
    })
    .await;
}

#[tokio::test]
async fn a_hundred_runs_leave_nothing_behind() {
    let server = Redis::start(&[]).unwrap();
    let url = format!("url = 'redis://127.0.0.1:{}/2'", server.port());
    let check = single(&KIND, "redis", &url);
    for _ in 0..100 {
        run(&check, PATIENCE).await.expect_working();
    }
    assert_eq!(server.ask(&["-n", "2", "DBSIZE"]).unwrap(), "0");
}

#[tokio::test]
async fn the_shared_server_grants_just_what_is_needed() {
    let address = shared().unwrap();
    let url = format!("url = 'redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}/0'");
    outcome(&url).await.expect_working();
    check_begins(&outcome(&format!("{url}\nwritable = false")).await, "ping: NOPERM ");
}

#[tokio::test]
async fn a_full_server_is_not_working_unless_it_need_not_take_writes() {
    let server = Redis::start(&["maxmemory 1"]).unwrap();
    check_begins(
        &ask(&server, "").await,
        "write: OOM command not allowed when used memory > 'maxmemory'",
    );
    ask(&server, "writable = false").await.expect_working();
}

#[tokio::test]
async fn a_replica_is_not_working_unless_it_need_not_take_writes() {
    let primary = Redis::start(&[]).unwrap();
    let replica = Redis::start(&[&format!("replicaof 127.0.0.1 {}", primary.port())]).unwrap();
    replica.wait_for(&["INFO", "replication"], "master_link_status:up").unwrap();
    check_begins(
        &ask(&replica, "").await,
        "write: READONLY You can't write against a read only replica",
    );
    ask(&replica, "writable = false").await.expect_working();
    ask(&primary, "").await.expect_working();
}

#[tokio::test]
async fn a_primary_that_misses_its_replicas_is_not_working() {
    let server = Redis::start(&["min-replicas-to-write 1"]).unwrap();
    check_begins(&ask(&server, "").await, "write: NOREPLICAS Not enough good replicas to write");
}

#[tokio::test]
async fn a_server_that_cannot_save_is_not_working() {
    let server = Redis::start(&["save 3600 1"]).unwrap();
    // A folder under the name of the dump makes every save fail, for root as well.
    let folder = server.ask(&["CONFIG", "GET", "dir"]).unwrap();
    let folder = folder.lines().last().unwrap();
    std::fs::create_dir_all(format!("{folder}/dump.rdb/in-the-way")).unwrap();
    server.ask(&["SET", "some", "data"]).unwrap();
    server.ask(&["BGSAVE"]).unwrap();
    server.wait_for(&["INFO", "persistence"], "rdb_last_bgsave_status:err").unwrap();
    check_begins(&ask(&server, "").await, "write: MISCONF ");
}

#[tokio::test]
async fn a_recovered_server_is_working_in_the_very_next_run() {
    let server = Redis::start(&["maxmemory 1"]).unwrap();
    let url = format!("url = 'redis://127.0.0.1:{}'", server.port());
    let check = single(&KIND, "redis", &url);
    check_begins(&run(&check, PATIENCE).await, "write: OOM");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    run(&check, PATIENCE).await.expect_working();
}

#[tokio::test]
async fn each_permission_is_needed_and_together_they_are_enough() {
    let enough = server_for("~health-gateway:* -@all +set +del");
    ask_as_me(&enough, 0, "").await.expect_working();
    check_begins(&ask_as_me(&enough, 1, "").await, "select: NOPERM ");
    for (rules, expected) in [
        ("~health-gateway:* -@all +del", "write: NOPERM "),
        ("~health-gateway:* -@all +set", "delete: NOPERM "),
        ("~app:* -@all +set +del", "write: NOPERM "),
    ] {
        check_begins(&ask_as_me(&server_for(rules), 0, "").await, expected);
    }
    let select = server_for("~health-gateway:* -@all +set +del +select");
    ask_as_me(&select, 1, "").await.expect_working();
}

#[tokio::test]
async fn without_writes_a_ping_is_all_that_is_needed() {
    ask_as_me(&server_for("-@all +ping"), 0, "writable = false").await.expect_working();
    check_begins(&ask_as_me(&server_for("-@all"), 0, "writable = false").await, "ping: NOPERM ");
}

#[tokio::test]
async fn a_prefix_keeps_within_the_keys_of_the_application() {
    let server = server_for("~app:* -@all +set +del");
    ask_as_me(&server, 0, "key_prefix = 'app:'").await.expect_working();
}

#[test]
fn what_is_wrong_is_told_at_once() {
    assert_eq!(
        diagnostics(&KIND, "redis", "url = 'http://cache'\nwritable = 1\nconnection = 'pooled'\n"),
        [
            "1: redis.url: expected a URL that begins with `redis://` or `rediss://` or `redis-cluster://` or `rediss-cluster://` or `redis-sentinel://` or `rediss-sentinel://`",
            "2: redis.writable: expected `true` or `false`, found an integer",
            "3: redis.connection: expected `kept` or `fresh`",
        ]
    );
}
