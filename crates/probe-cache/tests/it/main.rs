//! The probe against real servers: the shared one, and private ones that are no cache any more.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use probe_cache::KIND;
use probe_testkit::{Outcome, Subject, checks, component, diagnostics, promises, run};
use stack::redis::{Redis, shared_for_caches};
use stack::{HEALTH_PASSWORD, HEALTH_USER};

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// One run of the alias `data` with this value.
async fn outcome(data: &str) -> Outcome {
    let group = component(&KIND, "cache", &format!("data = {data}\n"));
    let (_, check) = checks(&group).remove(0);
    run(&check, PATIENCE).await
}

/// A server whose user `me` may do this, and the URL of a database of it.
fn server_for(rules: &str) -> (Redis, String) {
    let server = Redis::start(&[&format!("user me on >my-password {rules}")]).unwrap();
    let url = format!("redis://me:my-password@127.0.0.1:{}/1", server.port());
    (server, url)
}

fn check_begins(outcome: &Outcome, expected: &str) {
    let line = outcome.line();
    assert!(line.starts_with(expected), "expected `{expected}`, got `{line}`");
}

#[tokio::test]
async fn keeps_its_promises() {
    promises(Subject {
        kind: KIND,
        section: "caches",
        config: Box::new(|address| {
            let url = format!("redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}");
            format!("data = '{url}/1'\npages = '{url}/2'\n[locks]\nurl = '{url}/3'\n")
        }),
        upstream: shared_for_caches().unwrap(),
        secrets: vec![HEALTH_PASSWORD.to_owned()],
        connections: 1,
    })
    .await;
}

#[tokio::test]
async fn each_alias_is_a_check_in_the_order_of_the_file_and_none_leaves_a_key() {
    let server = Redis::start(&[]).unwrap();
    let url = format!("redis://127.0.0.1:{}", server.port());
    let toml = format!("pages = '{url}/2'\ndata = '{url}/1'\nlocks = '{url}/3'\n");
    let checks = checks(&component(&KIND, "cache", &toml));
    let names: Vec<_> = checks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["pages", "data", "locks"]);
    for _ in 0..100 {
        for (_, check) in &checks {
            run(check, PATIENCE).await.expect_working();
        }
    }
    assert_eq!(server.ask(&["INFO", "keyspace"]).unwrap(), "# Keyspace");
}

#[tokio::test]
async fn a_key_that_could_not_be_removed_expires_by_itself() {
    let (server, url) = server_for("~health-gateway:* -@all +select +set +get");
    check_begins(&outcome(&format!("'{url}'")).await, "delete: NOPERM ");
    let admin = |words: &[&str]| server.ask(&[&["-n", "1"], words].concat()).unwrap();
    let key = admin(&["KEYS", "*"]);
    assert!(key.starts_with("health-gateway:") && key.lines().count() == 1, "{key}");
    let left: i64 = admin(&["TTL", &key]).parse().unwrap();
    assert!((1..=60).contains(&left), "{left}");
}

#[tokio::test]
async fn each_permission_is_needed_and_together_they_are_enough() {
    let (_server, url) = server_for("~health-gateway:* -@all +select +set +get +del");
    outcome(&format!("'{url}'")).await.expect_working();
    for (rules, expected) in [
        ("~health-gateway:* -@all +set +get +del", "select: NOPERM "),
        ("~health-gateway:* -@all +select +get +del", "write: NOPERM "),
        ("~health-gateway:* -@all +select +set +del", "read: NOPERM "),
        ("~:1:* -@all +select +set +get +del", "write: NOPERM "),
    ] {
        let (_server, url) = server_for(rules);
        check_begins(&outcome(&format!("'{url}'")).await, expected);
    }
}

#[tokio::test]
async fn a_prefix_keeps_within_the_keys_of_the_application() {
    let (_server, url) = server_for("~:1:* -@all +select +set +get +del");
    outcome(&format!("{{ url = '{url}', key_prefix = ':1:' }}")).await.expect_working();
}

#[tokio::test]
async fn a_cache_that_keeps_nothing_is_not_working() {
    let full = Redis::start(&["maxmemory 1"]).unwrap();
    check_begins(
        &outcome(&format!("'redis://127.0.0.1:{}/1'", full.port())).await,
        "write: OOM command not allowed when used memory > 'maxmemory'",
    );
    let replica = Redis::start(&[&format!("replicaof 127.0.0.1 {}", full.port())]).unwrap();
    check_begins(
        &outcome(&format!("'redis://127.0.0.1:{}/1'", replica.port())).await,
        "write: READONLY You can't write against a read only replica",
    );
}

#[tokio::test]
async fn a_silent_cache_is_named_by_its_step_and_is_well_when_it_goes_on() {
    let server = Redis::start(&[]).unwrap();
    let group =
        component(&KIND, "cache", &format!("data = 'redis://127.0.0.1:{}/1'", server.port()));
    let (_, check) = checks(&group).remove(0);
    run(&check, PATIENCE).await.expect_working();
    server.server.pause();
    assert_eq!(run(&check, Duration::from_millis(300)).await.cut_step(), "write");
    server.server.resume();
    run(&check, PATIENCE).await.expect_working();
}

#[test]
fn what_is_wrong_is_told_at_once() {
    assert_eq!(
        diagnostics(&KIND, "cache", ""),
        ["1: cache: expected at least one name with its settings"]
    );
    assert_eq!(
        diagnostics(
            &KIND,
            "cache",
            "data = 7\n[pages]\nkey_prefix = 'x'\n[locks]\nurl = 'redis://h'\nwritable = true\n"
        ),
        [
            "1: cache.data: expected a table, found an integer",
            "1: cache.data: missing `url`",
            "2: cache.pages: missing `url`",
            "6: cache.locks: unknown key `writable`, expected one of `connection`, `url`, `ca`, `certificate`, `private_key`, `key_prefix`",
        ]
    );
}
