//! What Celery on Redis needs of its server: all of it does, and without any piece a run fails or leaves something behind.

use std::collections::BTreeSet;

use probe::Grant;
use probe_celery::KIND;
use probe_testkit::{checks, component};
use stack::redis::Redis;

use crate::PATIENCE;
use crate::stage::{Broker, Stage, ask};

const TABLE: &str = "_kombu.binding.reply.celery.pidbox";
/// The way back of a gateway that was killed long ago.
const ABANDONED: &str =
    "health-gateway.1000.t\x06\x16\x06\x16health-gateway.1000.t.reply.celery.pidbox";

/// Makes the user anew, with these rules, on a server that remembers no refusal.
fn give(redis: &Redis, grants: BTreeSet<Grant>) {
    redis.ask(&["ACL", "DELUSER", "me"]).unwrap();
    let line: String = probe::statements(grants).into_values().collect();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(redis.ask(&words).unwrap(), "OK", "{line}");
    assert_eq!(redis.ask(&["ACL", "SETUSER", "me", "on", ">my-password"]).unwrap(), "OK");
    redis.ask(&["ACL", "LOG", "RESET"]).unwrap();
    redis.ask(&["-n", "1", "DEL", TABLE]).unwrap();
    redis.ask(&["-n", "1", "SADD", TABLE, ABANDONED]).unwrap();
}

/// Two runs, the second of which puts in order what the first may have left late: what they say that is not `working`.
async fn two_runs(lines: &str) -> String {
    let celery = component(&KIND, "celery", lines);
    let mut said = String::new();
    for _ in 0..2 {
        let report = ask(&celery, PATIENCE).await;
        for name in ["ping", "queues.high_priority"] {
            said.push_str(&report.said(name).replace("working", ""));
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_for_celery_on_redis_is_needed() {
    let stage = Stage::redis();
    let _worker = stage.worker("w1");
    let Broker::Redis(redis) = &stage.broker else { panic!("a Redis") };
    let url = |database| format!("redis://me:my-password@127.0.0.1:{}/{database}", stage.port());
    let lines = format!(
        "broker = '{}'\nresult_backend = '{}'\nqueues = ['high_priority']\ncanary = true\n",
        url(1),
        url(2)
    );
    let all = checks(&component(&KIND, "celery", &lines));
    let all: BTreeSet<_> = all.iter().flat_map(|(_, check)| check.grants().unwrap()).collect();
    give(redis, all.clone());
    assert_eq!(two_runs(&lines).await, "");
    redis.wait_for(&["-n", "1", "EXISTS", TABLE], "0").unwrap();
    for missing in &all {
        // A task is taken back when it has not come back for a minute.
        if missing.permission == ["+lrem"] {
            continue;
        }
        give(redis, all.iter().filter(|grant| *grant != missing).cloned().collect());
        let said = two_runs(&lines).await;
        if said.is_empty() {
            let command = missing.permission[0].trim_start_matches('+');
            redis.wait_for(&["ACL", "LOG"], &format!("object\n{command}")).unwrap();
            let left = redis.ask(&["-n", "1", "SMEMBERS", TABLE]).unwrap();
            assert!(left.contains("health-gateway."), "{missing:?} is not needed");
        } else {
            assert!(said.contains("NOPERM"), "without {missing:?}: {said}");
        }
    }
}
