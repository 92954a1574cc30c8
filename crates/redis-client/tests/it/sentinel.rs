//! Sentinel: the check follows it to whoever is the primary.

use std::time::Instant;

use stack::redis::Redis;

use crate::support::{PATIENCE, ask, check, failure};

/// A primary and the sentinel that watches it, with these further lines of its configuration.
fn watched(primary: &Redis, settings: &[&str]) -> Redis {
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
async fn a_failover_is_followed() {
    let mut primary = Redis::start(&[]).unwrap();
    let replica = Redis::start(&[&format!("replicaof 127.0.0.1 {}", primary.port())]).unwrap();
    replica.wait_for(&["INFO", "replication"], "master_link_status:up").unwrap();
    let sentinel = watched(&primary, &[]);
    sentinel.wait_for(&["SENTINEL", "MASTER", "app"], "num-slaves\n1").unwrap();
    let check = check(&url(&sentinel, "", ""));
    ask(&check).await.expect_working();
    primary.server.stop();
    assert_eq!(
        ask(&check).await.line(),
        format!(
            "connect: the primary that sentinel names: connection refused (127.0.0.1:{})",
            sentinel.port()
        )
    );
    let new = replica.port().to_string();
    sentinel.wait_for(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "app"], &new).unwrap();
    replica.wait_for(&["INFO", "replication"], "role:master").unwrap();
    ask(&check).await.expect_working();
}

#[tokio::test]
async fn a_primary_that_was_demoted_is_left_for_its_successor() {
    let old = Redis::start(&[]).unwrap();
    let new = Redis::start(&[&format!("replicaof 127.0.0.1 {}", old.port())]).unwrap();
    new.wait_for(&["INFO", "replication"], "master_link_status:up").unwrap();
    let sentinel = watched(&old, &[]);
    let check = check(&url(&sentinel, "", ""));
    sentinel.wait_for(&["SENTINEL", "MASTER", "app"], "num-slaves\n1").unwrap();
    let begun = Instant::now();
    // A sentinel refuses until it has seen the replica's first report.
    while sentinel.ask(&["SENTINEL", "FAILOVER", "app"]).unwrap() != "OK" {
        assert!(begun.elapsed() < PATIENCE, "the sentinel refuses to fail over");
        ask(&check).await.expect_working();
    }
    let address = new.port().to_string();
    sentinel.wait_for(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "app"], &address).unwrap();
    old.wait_for(&["INFO", "replication"], "role:slave").unwrap();
    ask(&check).await.expect_working();
}

#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    let primary = Redis::start(&["requirepass primary-pass"]).unwrap();
    let settings = ["sentinel auth-pass app primary-pass", "requirepass sentinel-pass"];
    let sentinel = watched(&primary, &settings);
    let right = url(&sentinel, ":primary-pass@", "&sentinelPassword=sentinel-pass");
    ask(&check(&right)).await.expect_working();
    let target = format!("(127.0.0.1:{})", sentinel.port());
    let refused = "WRONGPASS invalid username-password pair or user is disabled";
    for wrong in [
        url(&sentinel, ":wrong-pass@", "&sentinelPassword=sentinel-pass"),
        url(&sentinel, ":primary-pass@", "&sentinelPassword=wrong-pass"),
    ] {
        assert_eq!(failure(&wrong).await, format!("authenticate: {refused} {target}"));
    }
    let without = url(&sentinel, ":primary-pass@", "");
    assert_eq!(
        failure(&without).await,
        format!("authenticate: NOAUTH Authentication required {target}")
    );
}

#[tokio::test]
async fn a_sentinel_that_is_down_or_knows_nobody_says_so() {
    let primary = Redis::start(&[]).unwrap();
    let mut sentinel = watched(&primary, &[]);
    let port = sentinel.port();
    let stranger = format!("url = 'redis-sentinel://127.0.0.1:{port}?sentinelServiceName=other'");
    assert_eq!(
        failure(&stranger).await,
        format!("ask sentinel: sentinel knows no primary of this name (127.0.0.1:{port})")
    );
    sentinel.server.stop();
    assert_eq!(
        failure(&url(&sentinel, "", "")).await,
        format!("connect: connection refused (127.0.0.1:{port})")
    );
}
