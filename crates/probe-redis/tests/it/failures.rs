//! One failure in each test, on each kind of connection, and the recovery from it.

use std::time::Duration;

use probe_redis::KIND;
use probe_testkit::{FaultProxy, RunOutcome, run, single};
use stack::redis::Redis;

use crate::TIMEOUT;

const SHORT_TIMEOUT: Duration = Duration::from_millis(300);
/// The gateway's user with all that it needs.
const USER: &str = "user me on >my-password ~health-gateway:* -@all +set +del +role";

fn settings(port: u16, toml: &str) -> String {
    format!("url = 'redis://me:my-password@127.0.0.1:{port}'\n{toml}")
}

/// Whether the line has these parts, of which the first is its beginning; `...` stands for the words that depend on the version.
fn has_parts(line: &str, parts: &str) -> bool {
    let mut parts = parts.split("...");
    line.starts_with(parts.next().unwrap_or_default().trim_end())
        && parts.all(|part| line.contains(part.trim()))
}

/// Provokes a failure with one command, expects its line on each kind of connection, repairs it with another, and expects the next run to work.
async fn fails(provoke: &[&str], line: &str, repair: &[&str]) {
    let server = Redis::start(&[USER]).unwrap();
    let check = |toml: &str| single(&KIND, "redis", &settings(server.port(), toml));
    let [kept, fresh] = ["reconnect = '100ms'", "connection = 'fresh'"].map(check);
    for check in [&kept, &fresh] {
        run(check, TIMEOUT).await.expect_working();
    }
    server.command(provoke).unwrap();
    let one_shot = check("");
    for check in [&fresh, &one_shot] {
        let outcome = run(check, TIMEOUT).await;
        assert!(has_parts(outcome.line(), line), "{outcome:?}");
    }
    let reported = async {
        loop {
            match run(&kept, TIMEOUT).await {
                RunOutcome::Working => tokio::time::sleep(Duration::from_millis(20)).await,
                failed => return failed.line().to_owned(),
            }
        }
    };
    let found = tokio::time::timeout(TIMEOUT, reported).await.unwrap();
    assert!(has_parts(&found, line), "{found}");
    server.command(repair).unwrap();
    for check in [&kept, &fresh, &one_shot] {
        run(check, TIMEOUT).await.expect_working();
    }
}

#[tokio::test]
async fn a_user_that_may_not_write() {
    let line = "write: NOPERM ... has no permissions to run the 'set' command";
    fails(&["ACL", "SETUSER", "me", "-set"], line, &["ACL", "SETUSER", "me", "+set"]).await;
}

#[tokio::test]
async fn a_user_without_access_to_the_keys() {
    let repair = ["ACL", "SETUSER", "me", "resetkeys", "~health-gateway:*"];
    fails(&["ACL", "SETUSER", "me", "resetkeys", "~other:*"], "write: NOPERM ", &repair).await;
}

#[tokio::test]
async fn a_user_that_may_not_delete() {
    let line = "delete: NOPERM ... has no permissions to run the 'del' command";
    fails(&["ACL", "SETUSER", "me", "-del"], line, &["ACL", "SETUSER", "me", "+del"]).await;
}

#[tokio::test]
async fn a_full_memory() {
    let line = "write: OOM command not allowed when used memory > 'maxmemory'";
    let repair = ["CONFIG", "SET", "maxmemory", "0"];
    fails(&["CONFIG", "SET", "maxmemory", "1"], line, &repair).await;
}

#[tokio::test]
async fn too_few_replicas() {
    let line = "write: NOREPLICAS Not enough good replicas to write";
    let repair = ["CONFIG", "SET", "min-replicas-to-write", "0"];
    fails(&["CONFIG", "SET", "min-replicas-to-write", "1"], line, &repair).await;
}

#[tokio::test]
async fn a_server_that_was_made_a_replica() {
    let line = "write: READONLY You can't write against a read only replica";
    fails(&["REPLICAOF", "127.0.0.1", "1"], line, &["REPLICAOF", "NO", "ONE"]).await;
}

#[tokio::test]
async fn a_user_that_was_disabled() {
    let server = Redis::start(&[USER]).unwrap();
    let check = single(&KIND, "redis", &settings(server.port(), "reconnect = '100ms'"));
    run(&check, TIMEOUT).await.expect_working();
    server.command(&["ACL", "SETUSER", "me", "off"]).unwrap();
    while run(&check, TIMEOUT).await.is_working() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let line = "authenticate: WRONGPASS invalid username-password pair or user is disabled";
    let outcome = run(&check, TIMEOUT).await;
    assert!(outcome.line().starts_with(line), "{outcome:?}");
    server.command(&["ACL", "SETUSER", "me", "on"]).unwrap();
    // This check waits for the end of its pause, another one does not.
    assert!(!run(&check, TIMEOUT).await.is_working());
    run(&single(&KIND, "redis", &settings(server.port(), "")), TIMEOUT).await.expect_working();
}

#[tokio::test]
async fn a_server_that_holds_writes_back() {
    let server = Redis::start(&[USER]).unwrap();
    let check = single(&KIND, "redis", &settings(server.port(), ""));
    run(&check, TIMEOUT).await.expect_working();
    server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]).unwrap();
    let outcome = run(&check, SHORT_TIMEOUT).await;
    let expected = format!("write: no answer within 300ms (127.0.0.1:{})", server.port());
    assert_eq!(outcome.timed_out_line(), expected);
    server.command(&["CLIENT", "UNPAUSE"]).unwrap();
    run(&check, TIMEOUT).await.expect_working();
}

#[tokio::test]
async fn a_connection_that_the_server_closed() {
    let server = Redis::start(&[USER]).unwrap();
    let check = single(&KIND, "redis", &settings(server.port(), ""));
    run(&check, TIMEOUT).await.expect_working();
    server.command(&["CLIENT", "KILL", "USER", "me"]).unwrap();
    run(&check, TIMEOUT).await.expect_working();
}

#[tokio::test]
async fn a_kept_connection_that_a_firewall_has_forgotten() {
    let server = Redis::start(&[USER]).unwrap();
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    let check = single(&KIND, "redis", &settings(proxy.address().port(), ""));
    run(&check, TIMEOUT).await.expect_working();
    proxy.swallow_open();
    run(&check, Duration::from_secs(2)).await.expect_working();
    assert_eq!(proxy.wait_for_open(1).await.accepted, 2);
    run(&check, TIMEOUT).await.expect_working();
    assert_eq!(proxy.counts().accepted, 2);
}

#[tokio::test]
async fn a_server_that_is_silent_on_every_connection() {
    let server = Redis::start(&[USER]).unwrap();
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    let check = single(&KIND, "redis", &settings(proxy.address().port(), ""));
    run(&check, TIMEOUT).await.expect_working();
    proxy.swallow();
    let outcome = run(&check, SHORT_TIMEOUT).await;
    let expected = format!("write: no answer within 300ms ({})", proxy.address());
    assert_eq!(outcome.timed_out_line(), expected);
    assert_eq!(proxy.wait_for_open(0).await.accepted, 2);
    proxy.heal();
    run(&check, TIMEOUT).await.expect_working();
}

/// A node of a cluster, asked by a URL for a single server.
#[tokio::test]
async fn a_node_of_a_cluster_without_its_slots() {
    let server = Redis::start(&[USER, "cluster-enabled yes"]).unwrap();
    let check = single(&KIND, "redis", &settings(server.port(), ""));
    let outcome = run(&check, TIMEOUT).await;
    assert!(outcome.line().starts_with("write: CLUSTERDOWN "), "{outcome:?}");
    server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    server.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    run(&check, TIMEOUT).await.expect_working();
}
