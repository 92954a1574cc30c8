//! Servers that answer queries and cannot commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::{DynCheck, SharedResources};
use probe_postgres::KIND;
use probe_testkit::{FaultProxy, checks, component_sharing};
use stack::pgbouncer::PgBouncer;
use stack::pgpool::Pgpool;
use stack::postgres::Postgres;

use crate::{DEADLINE, check, check_line, private, run, url};

/// Long enough to see what a commit waits for.
const SLOW_DEADLINE: Duration = Duration::from_secs(1);

const LOST: &str = "commit: no answer within 1s (waits for a synchronous standby) (127.0.0.1:PORT)";

/// The writes that are under way.
fn writes(server: &Postgres) -> usize {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'health' AND state = 'active' AND query LIKE '%commit */%'";
    server.sql("postgres", query).unwrap().parse().unwrap()
}

/// Waits until a write is under way.
async fn wait_until_busy(server: &Postgres) {
    while writes(server) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until no write is under way.
async fn wait_until_idle(server: &Postgres) {
    let begun = Instant::now();
    while writes(server) > 0 {
        assert!(begun.elapsed() < DEADLINE, "a write is still under way");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn lose_standby(server: &Postgres) {
    server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'lost'").unwrap();
    reload(server);
}

fn heal(server: &Postgres) {
    server.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names").unwrap();
    reload(server);
}

/// Reloads the configuration, and waits until a new session has it.
fn reload(server: &Postgres) {
    server.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    let loaded = "SELECT pg_conf_load_time() > now() - interval '1 minute' AND current_setting('synchronous_standby_names') = (SELECT coalesce((SELECT setting FROM pg_file_settings WHERE name = 'synchronous_standby_names'), ''))";
    while server.sql("postgres", loaded).unwrap() != "t" {}
}

async fn check_lost(check: &Arc<dyn DynCheck>, port: u16) {
    check_lost_within(SLOW_DEADLINE, check, port).await;
}

async fn check_lost_within(deadline: Duration, check: &Arc<dyn DynCheck>, port: u16) {
    let outcome = probe_testkit::run(check, deadline).await;
    let expected = LOST.replace("PORT", &port.to_string()).replace("1s", &format!("{deadline:?}"));
    assert_eq!(outcome.timed_out_line(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_synchronous_standby_is_a_failure_with_its_cause() {
    // The table is not written there.
    let server = private(&["temp_tablespaces = 'absent'"]);
    let mut replica = server.replica().unwrap();
    server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'").unwrap();
    reload(&server);
    let (kept, each) =
        (check(&url(server.port()), ""), check(&url(server.port()), "write_every = '0s'"));
    run(&kept).await.expect_working();
    run(&each).await.expect_working();
    let left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'health%'";
    assert_eq!(server.sql("app", left).unwrap(), "0");
    replica.server.stop();
    check_lost(&each, server.port()).await;
    // The last commit was proven less than a minute ago.
    run(&kept).await.expect_working();
    run(&check(&url(server.port()), "write = 'off'")).await.expect_working();
    run(&check(&url(server.port()), "role = 'any'")).await.expect_working();
    replica.server.restart().unwrap();
    run(&each).await.expect_working();
    wait_until_idle(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_transaction_ids_cannot_commit() {
    let mut server = Postgres::start(&["wal_level = logical", "autovacuum_naptime = 1s"]).unwrap();
    let check = check(&url(server.port()), "write_every = '0s'");
    run(&check).await.expect_working();
    server.use_up_transaction_ids().unwrap();
    let outcome = run(&check).await;
    let line = outcome.line();
    // Since PostgreSQL 17, the text says that these are commands "that assign new transaction IDs".
    assert!(line.starts_with("commit: database is not accepting commands "), "{line}");
    assert!(line.contains(" to avoid wraparound data loss in database "), "{line}");
    run(&crate::check(&url(server.port()), "write = 'off'")).await.expect_working();
    server.sql("postgres", "SELECT pg_drop_replication_slot('hold')").unwrap();
    let begun = Instant::now();
    while !run(&check).await.is_working() {
        assert!(begun.elapsed() < DEADLINE, "no transaction identifiers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_against_a_lost_standby_leave_at_most_one_waiting_backend() {
    let server = private(&[]);
    lose_standby(&server);
    let checks = [
        check(&url(server.port()), "write_every = '0s'"),
        check(&url(server.port()), "write_every = '0s'\nconnection = 'fresh'"),
    ];
    for index in 0..100 {
        let deadline = Duration::from_millis(20 + index % 7);
        let outcome = probe_testkit::run(&checks[usize::from(index % 10 == 0)], deadline).await;
        assert!(!outcome.is_working());
        if index % 5 == 0 {
            let waiting = writes(&server);
            assert!(waiting <= 1, "{waiting} writes are under way");
        }
    }
    heal(&server);
    wait_until_idle(&server).await;
    run(&checks[0]).await.expect_working();
    run(&checks[1]).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_checks_share_one_write() {
    let server = private(&[]);
    lose_standby(&server);
    let shared = SharedResources::default();
    let toml = format!("url = '{}'\nwrite_every = '0s'", url(server.port()));
    let both = [(); 2].map(|()| {
        let component = component_sharing(&KIND, "postgres", &toml, &shared);
        checks(&component).remove(0).1
    });
    // The second run ends later than the first one, since it waited for its write.
    let lost = |check| check_lost_within(SLOW_DEADLINE * 3, check, server.port());
    let second = async {
        wait_until_busy(&server).await;
        lost(&both[1]).await;
    };
    tokio::join!(lost(&both[0]), second);
    heal(&server);
    for check in &both {
        run(check).await.expect_working();
    }
    shared.cleanups().finish(Duration::from_secs(20)).await;
    assert_eq!(writes(&server), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_privilege_to_write_a_table_a_message_is_written() {
    check_privileges(private(&[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_18_commits_what_the_privileges_permit() {
    let server = Postgres::start_18(&[]).unwrap();
    assert!(server.sql("postgres", "SHOW server_version").unwrap().starts_with("18."));
    check_privileges(server).await;
}

async fn check_privileges(mut server: Postgres) {
    server.sql("postgres", "REVOKE TEMPORARY ON DATABASE app FROM health").unwrap();
    lose_standby(&server);
    let line = |toml: &str| check(&url(server.port()), toml);
    for toml in ["", "write = 'message'"] {
        check_lost(&line(toml), server.port()).await;
    }
    server.configure(&["wal_level = logical"]).unwrap();
    // A message would be visible to clients that decode the write-ahead log, so commits are not proven.
    run(&check(&url(server.port()), "")).await.expect_working();
    check_lost(&check(&url(server.port()), "write = 'message'"), server.port()).await;
    heal(&server);
    server.forbid_messages("app").unwrap();
    lose_standby(&server);
    run(&check(&url(server.port()), "write = 'message'")).await.expect_working();
    heal(&server);
    server.sql("postgres", "GRANT TEMPORARY ON DATABASE app TO health").unwrap();
    lose_standby(&server);
    check_lost(&check(&url(server.port()), ""), server.port()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_tell_the_privileges_is_a_failure() {
    let server = private(&[]);
    let each = || check(&url(server.port()), "write_every = '0s'");
    // Nothing is proven for a user that may not read its privileges, which is no failure.
    let function = "FUNCTION has_database_privilege(text, text)";
    server.sql("app", &format!("REVOKE EXECUTE ON {function} FROM PUBLIC")).unwrap();
    run(&each()).await.expect_working();
    server.sql("app", &format!("ALTER {function} RENAME TO other")).unwrap();
    let expected = "commit: function pg_catalog.has_database_privilege(name, unknown) does not exist, SQLSTATE 42883 (127.0.0.1:PORT)";
    check_line(server.port(), &url(server.port()), "", expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_could_not_be_cancelled_is_waited_for() {
    let server = private(&[]);
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    let unreachable = check(&url(proxy.address().port()), "write_every = '0s'");
    run(&unreachable).await.expect_working();
    lose_standby(&server);
    let waiting = async {
        wait_until_busy(&server).await;
        proxy.refuse().await;
    };
    let (outcome, ()) = tokio::join!(run(&unreachable), waiting);
    assert!(!outcome.is_working());
    // A server that waits for a standby does not notice that its client has disconnected.
    let direct = check(&url(server.port()), "");
    for _ in 0..2 {
        check_lost(&direct, server.port()).await;
        assert_eq!(writes(&server), 1);
    }
    heal(&server);
    run(&direct).await.expect_working();
    wait_until_idle(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_proven_and_cancelled_through_poolers() {
    let server = private(&[]);
    let pgbouncer = PgBouncer::start(server.port(), &["pool_mode = transaction"]).unwrap();
    check_proxied(&server, pgbouncer.port()).await;
    let pgpool = Pgpool::start(server.port()).unwrap();
    check_proxied(&server, pgpool.port()).await;
}

async fn check_proxied(server: &Postgres, port: u16) {
    let each = check(&url(port), "write_every = '0s'");
    for _ in 0..3 {
        run(&each).await.expect_working();
    }
    lose_standby(server);
    for _ in 0..2 {
        check_lost(&each, port).await;
    }
    wait_until_idle(server).await;
    heal(server);
    run(&each).await.expect_working();
}
