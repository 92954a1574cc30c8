//! The probe against the shared server, and private ones that cannot serve as a cache.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use probe_cache::KIND;
use probe_testkit::{Hostile, RunOutcome, Subject, checks, component, diagnostics, promises, run};
use stack::redis::{Redis, shared_for_caches};
use stack::{HEALTH_PASSWORD, HEALTH_USER};

/// A deadline far beyond any response time.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the check of the alias `data` once with these settings.
async fn outcome(data: &str) -> RunOutcome {
    let group = component(&KIND, "cache", &format!("data = {data}\n"));
    let (_, check) = checks(&group).remove(0);
    run(&check, TIMEOUT).await
}

/// A server with a user `me` that has these ACL rules, and the URL of one of its databases.
fn server_for(rules: &str) -> (Redis, String) {
    let server = Redis::start(&[&format!("user me on >my-password {rules}")]).unwrap();
    let url = format!("redis://me:my-password@127.0.0.1:{}/1", server.port());
    (server, url)
}

fn expect_line(outcome: &RunOutcome, expected: &str) {
    let line = outcome.line();
    assert!(line.starts_with(expected), "expected `{expected}`, got `{line}`");
}

#[tokio::test]
async fn the_probe_keeps_its_promises() {
    let config = |address| {
        let url = format!("redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}");
        format!("data = '{url}/1'\npages = '{url}/2'\n[locks]\nurl = '{url}/3'\n")
    };
    let subject = Subject::new(KIND, "caches", shared_for_caches().unwrap(), config);
    promises(subject.with_secret(HEALTH_PASSWORD).with_hostile(Hostile::redis())).await;
}

#[tokio::test]
async fn each_alias_is_a_check_in_the_order_of_the_file_and_leaves_no_key() {
    let server = Redis::start(&[]).unwrap();
    let url = format!("redis://127.0.0.1:{}", server.port());
    let toml = format!("pages = '{url}/2'\ndata = '{url}/1'\nlocks = '{url}/3'\n");
    let checks = checks(&component(&KIND, "cache", &toml));
    let names: Vec<_> = checks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["pages", "data", "locks"]);
    for _ in 0..100 {
        for (_, check) in &checks {
            run(check, TIMEOUT).await.expect_working();
        }
    }
    assert_eq!(server.command(&["INFO", "keyspace"]).unwrap(), "# Keyspace");
}

#[tokio::test]
async fn a_key_that_cannot_be_deleted_expires() {
    let (server, url) = server_for("~health-gateway:* -@all +select +set +get");
    expect_line(&outcome(&format!("'{url}'")).await, "delete: NOPERM ");
    let admin = |command: &[&str]| server.command(&[&["-n", "1"], command].concat()).unwrap();
    let key = admin(&["KEYS", "*"]);
    assert!(key.starts_with("health-gateway:") && key.lines().count() == 1, "{key}");
    let ttl: i64 = admin(&["TTL", &key]).parse().unwrap();
    assert!((1..=60).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn every_documented_permission_is_required_and_sufficient() {
    let (_server, url) = server_for("~health-gateway:* -@all +select +set +get +del");
    outcome(&format!("'{url}'")).await.expect_working();
    for (rules, expected) in [
        ("~health-gateway:* -@all +set +get +del", "select: NOPERM "),
        ("~health-gateway:* -@all +select +get +del", "write: NOPERM "),
        ("~health-gateway:* -@all +select +set +del", "read: NOPERM "),
        ("~:1:* -@all +select +set +get +del", "write: NOPERM "),
    ] {
        let (_server, url) = server_for(rules);
        expect_line(&outcome(&format!("'{url}'")).await, expected);
    }
}

#[tokio::test]
async fn a_key_prefix_keeps_the_check_within_the_application_s_keys() {
    let (_server, url) = server_for("~:1:* -@all +select +set +get +del");
    outcome(&format!("{{ url = '{url}', key_prefix = ':1:' }}")).await.expect_working();
}

#[tokio::test]
async fn a_cache_that_stores_nothing_is_not_working() {
    let full = Redis::start(&["maxmemory 1"]).unwrap();
    expect_line(
        &outcome(&format!("'redis://127.0.0.1:{}/1'", full.port())).await,
        "write: OOM command not allowed when used memory > 'maxmemory'",
    );
    full.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    outcome(&format!("'redis://127.0.0.1:{}/1'", full.port())).await.expect_working();
    let replica = Redis::start(&[&format!("replicaof 127.0.0.1 {}", full.port())]).unwrap();
    expect_line(
        &outcome(&format!("'redis://127.0.0.1:{}/1'", replica.port())).await,
        "write: READONLY You can't write against a read only replica",
    );
}

#[tokio::test]
async fn a_silent_cache_times_out_and_works_once_it_resumes() {
    let server = Redis::start(&[]).unwrap();
    let group =
        component(&KIND, "cache", &format!("data = 'redis://127.0.0.1:{}/1'", server.port()));
    let (_, check) = checks(&group).remove(0);
    run(&check, TIMEOUT).await.expect_working();
    server.server.pause();
    assert_eq!(run(&check, Duration::from_millis(300)).await.timed_out_step(), "write");
    server.server.resume();
    run(&check, TIMEOUT).await.expect_working();
}

#[test]
fn all_errors_of_a_section_are_reported_together() {
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
            "6: cache.locks: unknown key `writable`",
        ]
    );
}
