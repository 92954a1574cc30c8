//! The grants for Celery on Redis are sufficient, and each of them is necessary.

use std::collections::BTreeSet;

use probe::Grant;
use probe_celery::KIND;
use probe_testkit::{checks, component};
use stack::redis::Redis;

use crate::TIMEOUT;
use crate::fixture::{Fixture, run_all};

const TABLE: &str = "_kombu.binding.reply.celery.pidbox";
/// The stale binding of a killed gateway.
const STALE_BINDING: &str =
    "health-gateway.1000.t\x06\x16\x06\x16health-gateway.1000.t.reply.celery.pidbox";

/// Recreates the user with these grants, clears the ACL log and plants a stale binding.
fn set_up(redis: &Redis, grants: BTreeSet<Grant>) {
    redis.command(&["ACL", "DELUSER", "me"]).unwrap();
    let line: String = probe::statements(grants).into_values().collect();
    let command: Vec<_> = line.split_whitespace().collect();
    assert_eq!(redis.command(&command).unwrap(), "OK", "{line}");
    assert_eq!(redis.command(&["ACL", "SETUSER", "me", "on", ">my-password"]).unwrap(), "OK");
    redis.command(&["ACL", "LOG", "RESET"]).unwrap();
    redis.command(&["-n", "1", "DEL", TABLE]).unwrap();
    redis.command(&["-n", "1", "SADD", TABLE, STALE_BINDING]).unwrap();
}

/// Runs twice, since the second run deletes the late replies of the first; returns the failures.
async fn two_runs(lines: &str) -> String {
    let celery = component(&KIND, "celery", lines);
    let mut failures = String::new();
    for _ in 0..2 {
        let outcomes = run_all(&celery, TIMEOUT).await;
        for name in ["ping", "queues.high_priority"] {
            failures.push_str(&outcomes.line(name).replace("working", ""));
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn each_grant_for_celery_on_redis_is_necessary() {
    let fixture = Fixture::redis();
    let _worker = fixture.worker("w1");
    let redis = fixture.server();
    let url = |database| format!("redis://me:my-password@127.0.0.1:{}/{database}", fixture.port());
    let lines = format!(
        "broker = '{}'\nresult_backend = '{}'\nqueues = ['high_priority']\ncanary = true\n",
        url(1),
        url(2)
    );
    let all = checks(&component(&KIND, "celery", &lines));
    let all: BTreeSet<_> = all.iter().flat_map(|(_, check)| check.grants().unwrap()).collect();
    set_up(redis, all.clone());
    assert_eq!(two_runs(&lines).await, "");
    redis.wait_for(&["-n", "1", "EXISTS", TABLE], "0").unwrap();
    for missing in &all {
        // A task is withdrawn only after a minute.
        if missing.permission == ["+lrem"] {
            continue;
        }
        set_up(redis, all.iter().filter(|grant| *grant != missing).cloned().collect());
        let failures = two_runs(&lines).await;
        if failures.is_empty() {
            let command = missing.permission[0].trim_start_matches('+');
            redis.wait_for(&["ACL", "LOG"], &format!("object\n{command}")).unwrap();
            let left = redis.command(&["-n", "1", "SMEMBERS", TABLE]).unwrap();
            assert!(left.contains("health-gateway."), "{missing:?} is not necessary");
        } else {
            assert!(failures.contains("NOPERM"), "without {missing:?}: {failures}");
        }
    }
}
