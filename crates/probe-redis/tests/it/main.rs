//! The probe against the shared server, and private ones that answer but are unhealthy.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod failures;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use probe::SharedResources;
use probe_redis::KIND;
use probe_testkit::{
    Hostile, RunOutcome, Subject, checks, component_sharing, diagnostics, promises, run, serve_tcp,
    single,
};
use stack::redis::{Redis, shared};
use stack::{HEALTH_PASSWORD, HEALTH_USER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A deadline far beyond any response time.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs a check with these settings once.
async fn outcome(toml: &str) -> RunOutcome {
    run(&single(&KIND, "redis", toml), TIMEOUT).await
}

/// Runs a check of this server once, with additional settings.
async fn run_against(server: &Redis, settings: &str) -> RunOutcome {
    outcome(&format!("url = 'redis://127.0.0.1:{}'\n{settings}", server.port())).await
}

/// Runs a check of this server once as its user `me`.
async fn run_as_me(server: &Redis, database: u8, settings: &str) -> RunOutcome {
    let port = server.port();
    outcome(&format!("url = 'redis://me:my-password@127.0.0.1:{port}/{database}'\n{settings}"))
        .await
}

/// A server with a user `me` that has these ACL rules.
fn server_for(rules: &str) -> Redis {
    Redis::start(&[&format!("user me on >my-password {rules}")]).unwrap()
}

fn expect_line(outcome: &RunOutcome, expected: &str) {
    let line = outcome.line();
    assert!(line.starts_with(expected), "expected `{expected}`, got `{line}`");
}

#[tokio::test]
async fn the_probe_keeps_its_promises() {
    let config = |address| format!("url = 'redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}/0'\n");
    let subject = Subject::new(KIND, "sessions", shared().unwrap(), config);
    promises(subject.with_secret(HEALTH_PASSWORD).with_hostile(Hostile::redis())).await;
}

#[tokio::test]
async fn a_hundred_runs_leave_no_key_behind() {
    let server = Redis::start(&[]).unwrap();
    let url = format!("url = 'redis://127.0.0.1:{}/2'", server.port());
    let check = single(&KIND, "redis", &url);
    for _ in 0..100 {
        run(&check, TIMEOUT).await.expect_working();
    }
    assert_eq!(server.command(&["-n", "2", "DBSIZE"]).unwrap(), "0");
}

#[tokio::test]
async fn valkey_is_probed_like_redis() {
    let server = Redis::start_valkey(&["user me on >my-password ~* &* +@all"]).unwrap();
    assert!(server.command(&["INFO", "server"]).unwrap().contains("server_name:valkey"));
    let of = |password: &str| format!("valkey://me:{password}@127.0.0.1:{}/1", server.port());
    let (right, wrong) = (of("my-password"), of("another"));
    outcome(&format!("url = '{right}'")).await.expect_working();
    assert_eq!(server.command(&["-n", "1", "DBSIZE"]).unwrap(), "0");
    expect_line(&outcome(&format!("url = '{wrong}'")).await, "authenticate: WRONGPASS ");
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    expect_line(&outcome(&format!("url = '{right}'")).await, "write: OOM ");
    outcome(&format!("url = '{right}'\nwritable = false")).await.expect_working();
}

#[tokio::test]
async fn the_shared_server_grants_only_the_documented_permissions() {
    let address = shared().unwrap();
    let url = format!("url = 'redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}/0'");
    outcome(&url).await.expect_working();
    expect_line(&outcome(&format!("{url}\nwritable = false")).await, "ping: NOPERM ");
}

#[tokio::test]
async fn a_full_server_is_not_working_unless_writes_are_not_required() {
    let server = Redis::start(&["maxmemory 1"]).unwrap();
    expect_line(
        &run_against(&server, "").await,
        "write: OOM command not allowed when used memory > 'maxmemory'",
    );
    run_against(&server, "writable = false").await.expect_working();
}

#[tokio::test]
async fn a_replica_is_not_working_unless_writes_are_not_required() {
    let primary = Redis::start(&[]).unwrap();
    let replica = Redis::start(&[&format!("replicaof 127.0.0.1 {}", primary.port())]).unwrap();
    replica.wait_for(&["INFO", "replication"], "master_link_status:up").unwrap();
    expect_line(
        &run_against(&replica, "").await,
        "write: READONLY You can't write against a read only replica",
    );
    run_against(&replica, "writable = false").await.expect_working();
    run_against(&primary, "").await.expect_working();
}

#[tokio::test]
async fn a_primary_without_enough_replicas_is_not_working() {
    let server = Redis::start(&["min-replicas-to-write 1"]).unwrap();
    expect_line(
        &run_against(&server, "").await,
        "write: NOREPLICAS Not enough good replicas to write",
    );
}

#[tokio::test]
async fn a_server_that_cannot_save_is_not_working() {
    let server = Redis::start(&["save 3600 1"]).unwrap();
    // A directory with the name of the dump file makes every save fail, even as root.
    let folder = server.command(&["CONFIG", "GET", "dir"]).unwrap();
    let folder = folder.lines().last().unwrap();
    let in_the_way = format!("{folder}/dump.rdb");
    std::fs::create_dir_all(format!("{in_the_way}/file")).unwrap();
    server.command(&["SET", "some", "data"]).unwrap();
    server.command(&["BGSAVE"]).unwrap();
    server.wait_for(&["INFO", "persistence"], "rdb_last_bgsave_status:err").unwrap();
    expect_line(&run_against(&server, "").await, "write: MISCONF ");
    assert!(server.command(&["PING"]).unwrap().starts_with("MISCONF "));
    run_against(&server, "writable = false").await.expect_working();
    std::fs::remove_dir_all(in_the_way).unwrap();
    server.command(&["BGSAVE"]).unwrap();
    server.wait_for(&["INFO", "persistence"], "rdb_last_bgsave_status:ok").unwrap();
    run_against(&server, "").await.expect_working();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_the_server_holds_back_does_not_delay_checks_without_writes() {
    let server = Redis::start(&[]).unwrap();
    let shared = SharedResources::default();
    let url = format!("url = 'redis://127.0.0.1:{}'\n", server.port());
    let check = |settings: &str| {
        let component = component_sharing(&KIND, "redis", &format!("{url}{settings}"), &shared);
        let [(_, check)] = &checks(&component)[..] else { panic!("one check") };
        check.clone()
    };
    let (writes, reads) = (check(""), check("writable = false"));
    run(&writes, TIMEOUT).await.expect_working();
    run(&reads, TIMEOUT).await.expect_working();
    server.command(&["CLIENT", "PAUSE", "60000", "WRITE"]).unwrap();
    let blocked = tokio::spawn(async move { run(&writes, TIMEOUT).await });
    server.wait_for(&["CLIENT", "LIST"], "flags=b").unwrap();
    run(&reads, TIMEOUT).await.expect_working();
    server.command(&["CLIENT", "UNPAUSE"]).unwrap();
    blocked.await.unwrap().expect_working();
}

#[tokio::test]
async fn a_writable_replica_that_has_lost_its_primary_is_not_working() {
    let mut primary = Redis::start(&[]).unwrap();
    let of = format!("replicaof 127.0.0.1 {}", primary.port());
    let rules = "user me on >my-password ~health-gateway:* -@all +set +del";
    let replica = Redis::start(&[&of, "replica-read-only no", rules]).unwrap();
    replica.wait_for(&["INFO", "replication"], "master_link_status:up").unwrap();
    let url = format!("url = 'redis://127.0.0.1:{}'\nreconnect = '1ms'", replica.port());
    let kept = single(&KIND, "redis", &url);
    run(&kept, TIMEOUT).await.expect_working();
    let denied = "role: NOPERM this user has no permissions to run the 'role' command";
    expect_line(&run_as_me(&replica, 0, "").await, denied);

    primary.server.stop();
    replica.wait_for(&["INFO", "replication"], "master_link_status:down").unwrap();
    let lost = format!(
        "role: the server is a replica that is not connected to its primary 127.0.0.1:{} (connect",
        primary.port()
    );
    for _ in 0..2 {
        expect_line(&run(&kept, TIMEOUT).await, &lost);
    }
    run_against(&replica, "writable = false").await.expect_working();

    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    run(&kept, TIMEOUT).await.expect_working();
    run_as_me(&replica, 0, "").await.expect_working();
}

#[tokio::test]
async fn a_server_that_does_not_report_its_role_works() {
    let server = Redis::start(&["rename-command HELLO ''", "rename-command ROLE ''"]).unwrap();
    run_against(&server, "").await.expect_working();
    // Some proxies end a connection with a command that they do not know.
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let address = serve_tcp(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut buffer = vec![0; 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                let command = String::from_utf8_lossy(&buffer[..length]);
                let replies = match command.lines().nth(2) {
                    Some("PING") => "+PONG\r\n",
                    Some("SET") => "+OK\r\n:1\r\n",
                    _ => return,
                };
                stream.write_all(replies.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let check = single(&KIND, "redis", &format!("url = 'redis://{address}'"));
    for _ in 0..10 {
        run(&check, TIMEOUT).await.expect_working();
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_first_run_after_a_recovery_succeeds() {
    let server = Redis::start(&["maxmemory 1"]).unwrap();
    let url = format!("url = 'redis://127.0.0.1:{}'", server.port());
    let check = single(&KIND, "redis", &url);
    expect_line(&run(&check, TIMEOUT).await, "write: OOM");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    run(&check, TIMEOUT).await.expect_working();
}

#[tokio::test]
async fn every_documented_permission_is_required_and_sufficient() {
    let enough = server_for("~health-gateway:* -@all +set +del");
    run_as_me(&enough, 0, "").await.expect_working();
    expect_line(&run_as_me(&enough, 1, "").await, "select: NOPERM ");
    for (rules, expected) in [
        ("~health-gateway:* -@all +del", "write: NOPERM "),
        ("~health-gateway:* -@all +set", "delete: NOPERM "),
        ("~app:* -@all +set +del", "write: NOPERM "),
    ] {
        expect_line(&run_as_me(&server_for(rules), 0, "").await, expected);
    }
    let select = server_for("~health-gateway:* -@all +set +del +select");
    run_as_me(&select, 1, "").await.expect_working();
}

#[tokio::test]
async fn without_writes_only_ping_is_required() {
    run_as_me(&server_for("-@all +ping"), 0, "writable = false").await.expect_working();
    expect_line(&run_as_me(&server_for("-@all"), 0, "writable = false").await, "ping: NOPERM ");
}

#[tokio::test]
async fn a_key_prefix_keeps_the_check_within_the_application_s_keys() {
    let server = server_for("~app:* -@all +set +del");
    run_as_me(&server, 0, "key_prefix = 'app:'").await.expect_working();
}

#[test]
fn all_errors_of_a_section_are_reported_together() {
    assert_eq!(
        diagnostics(&KIND, "redis", "url = 'http://cache'\nwritable = 1\nconnection = 'pooled'\n"),
        [
            "1: redis.url: expected a URL that begins with `redis://`, `rediss://`, `redis-cluster://`, `rediss-cluster://`, `redis-sentinel://`, `rediss-sentinel://` or `unix://`",
            "2: redis.writable: expected `true` or `false`, found an integer",
            "3: redis.connection: expected `kept` or `fresh`",
        ]
    );
}
