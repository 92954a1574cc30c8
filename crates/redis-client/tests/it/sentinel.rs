//! Sentinel: the check connects to the current primary.

use std::sync::Arc;
use std::time::Instant;

use probe::{DynCheck, Observation, Steps};
use probe_testkit::run;
use stack::redis::Redis;

use crate::support::{SHORT_TIMEOUT, TIMEOUT, check, execute, failure};

/// A sentinel that monitors `primary`, with these additional settings.
fn sentinel_of(primary: &Redis, settings: &[&str]) -> Redis {
    let monitor = format!("sentinel monitor app 127.0.0.1 {} 1", primary.port());
    let all = [
        &[
            monitor.as_str(),
            "sentinel down-after-milliseconds app 500",
            "sentinel failover-timeout app 3000",
        ],
        settings,
    ]
    .concat();
    Redis::start_sentinel(&all).unwrap()
}

fn url(sentinel: &Redis, user_info: &str, more: &str) -> String {
    let port = sentinel.port();
    format!("url = 'redis-sentinel://{user_info}127.0.0.1:{port}/2?sentinelServiceName=app{more}'")
}

#[tokio::test]
async fn the_new_primary_is_used_after_a_failover() {
    let mut primary = Redis::start(&[]).unwrap();
    let replica = Redis::start(&[&format!("replicaof 127.0.0.1 {}", primary.port())]).unwrap();
    replica.wait_for(&["INFO", "replication"], "master_link_status:up").unwrap();
    // The primary counts the lag of a replica from its first acknowledgement on.
    primary.wait_for(&["INFO", "replication"], "state=online").unwrap();
    let sentinel = sentinel_of(&primary, &[]);
    sentinel.wait_for(&["SENTINEL", "MASTER", "app"], "num-slaves\n1").unwrap();
    let check = check(&url(&sentinel, "", ""));
    let steps = Steps::new();
    check.check(&steps).await.unwrap();
    let observations = steps.observations();
    assert!(
        matches!(observations[..], [Observation::RedisReplicationLag(0..1_000)]),
        "{observations:?}"
    );
    primary.server.stop();
    assert_eq!(
        execute(&check).await.line(),
        format!(
            "connect: the primary 127.0.0.1:{} that sentinel names: connection refused (127.0.0.1:{})",
            primary.port(),
            sentinel.port()
        )
    );
    let new = replica.port().to_string();
    sentinel.wait_for(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "app"], &new).unwrap();
    replica.wait_for(&["INFO", "replication"], "role:master").unwrap();
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn a_demoted_primary_is_replaced_by_the_new_one() {
    let old = Redis::start(&[]).unwrap();
    let new = Redis::start(&[&format!("replicaof 127.0.0.1 {}", old.port())]).unwrap();
    new.wait_for(&["INFO", "replication"], "master_link_status:up").unwrap();
    let sentinel = sentinel_of(&old, &[]);
    let check = check(&url(&sentinel, "", ""));
    fail_over(&sentinel, &new, &check).await;
    old.wait_for(&["INFO", "replication"], "role:slave").unwrap();
    execute(&check).await.expect_working();
}

/// Makes `new` the primary, while `check` works.
async fn fail_over(sentinel: &Redis, new: &Redis, check: &Arc<dyn DynCheck>) {
    sentinel.wait_for(&["SENTINEL", "MASTER", "app"], "num-slaves\n1").unwrap();
    let started = Instant::now();
    // A sentinel refuses the failover until it has received the replica's first report.
    while sentinel.command(&["SENTINEL", "FAILOVER", "app"]).unwrap() != "OK" {
        assert!(started.elapsed() < TIMEOUT, "the sentinel refused the failover");
        execute(check).await.expect_working();
    }
    let address = new.port().to_string();
    sentinel.wait_for(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "app"], &address).unwrap();
}

#[tokio::test]
async fn an_old_primary_that_still_accepts_writes_is_left_when_the_connection_is_replaced() {
    // The sentinel cannot demote it.
    let undemotable = ["rename-command REPLICAOF \"\"", "rename-command SLAVEOF \"\""];
    let old = Redis::start(&undemotable).unwrap();
    let new = Redis::start(&[&format!("replicaof 127.0.0.1 {}", old.port())]).unwrap();
    new.wait_for(&["INFO", "replication"], "master_link_status:up").unwrap();
    let sentinel = sentinel_of(&old, &[]);
    let kept = check(&(url(&sentinel, "", "") + "\nreconnect = '100ms'"));
    fail_over(&sentinel, &new, &kept).await;
    new.wait_for(&["INFO", "replication"], "role:master").unwrap();
    new.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let writes = |server: &Redis| {
        let statistics = server.command(&["INFO", "commandstats"]).unwrap();
        statistics.contains("cmdstat_set:")
    };
    let started = Instant::now();
    while !writes(&new) {
        assert!(started.elapsed() < TIMEOUT, "nothing is written to the new primary");
        execute(&kept).await.expect_working();
    }
    old.command(&["CONFIG", "RESETSTAT"]).unwrap();
    for _ in 0..5 {
        execute(&kept).await.expect_working();
    }
    assert!(old.command(&["ROLE"]).unwrap().contains("master"));
    assert!(!writes(&old), "the old primary is written to");
}

#[tokio::test]
async fn sentinels_have_a_separate_password() {
    let primary = Redis::start(&["requirepass primary-pass"]).unwrap();
    let settings = ["sentinel auth-pass app primary-pass", "requirepass sentinel-pass"];
    let sentinel = sentinel_of(&primary, &settings);
    let right = url(&sentinel, ":primary-pass@", "&sentinelPassword=sentinel-pass");
    execute(&check(&right)).await.expect_working();
    let target = format!("(127.0.0.1:{})", sentinel.port());
    let refused = "WRONGPASS invalid username-password pair or user is disabled";
    let by_primary = url(&sentinel, ":wrong-pass@", "&sentinelPassword=sentinel-pass");
    let named = format!("the primary 127.0.0.1:{} that sentinel names", primary.port());
    assert_eq!(failure(&by_primary).await, format!("authenticate: {named}: {refused} {target}"));
    let by_sentinel = url(&sentinel, ":primary-pass@", "&sentinelPassword=wrong-pass");
    assert_eq!(failure(&by_sentinel).await, format!("authenticate: {refused} {target}"));
    let without = url(&sentinel, ":primary-pass@", "");
    assert_eq!(
        failure(&without).await,
        format!("authenticate: NOAUTH Authentication required {target}")
    );
}

#[tokio::test]
async fn a_silent_sentinel_does_not_hide_the_others_and_a_silent_primary_is_named() {
    let primary = Redis::start(&[]).unwrap();
    let [silent, other] = [(); 2].map(|()| sentinel_of(&primary, &[]));
    silent.server.pause();
    let node = format!("&node=127.0.0.1:{}", other.port());
    let toml = url(&silent, "", &node) + "\nreconnect = '1ms'";
    let check = check(&toml);
    execute(&check).await.expect_working();
    silent.server.resume();
    primary.server.pause();
    assert_eq!(
        run(&check, SHORT_TIMEOUT).await.timed_out_line(),
        format!(
            "handshake: the primary 127.0.0.1:{} that sentinel names: no answer within 300ms (127.0.0.1:{})",
            primary.port(),
            silent.port()
        )
    );
    primary.server.resume();
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn a_sentinel_that_is_down_or_has_no_such_primary_is_reported() {
    let primary = Redis::start(&[]).unwrap();
    let mut sentinel = sentinel_of(&primary, &[]);
    let port = sentinel.port();
    let unknown = format!("url = 'redis-sentinel://127.0.0.1:{port}?sentinelServiceName=other'");
    assert_eq!(
        failure(&unknown).await,
        format!("ask sentinel: sentinel has no primary with this name (127.0.0.1:{port})")
    );
    execute(&check(&url(&sentinel, "", ""))).await.expect_working();
    sentinel.server.stop();
    assert_eq!(
        failure(&url(&sentinel, "", "")).await,
        format!("connect: connection refused (127.0.0.1:{port})")
    );
}
