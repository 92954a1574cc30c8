//! All databases share one connection, without mixing up their commands or replies.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use probe::SharedResources;
use probe_testkit::{FaultProxy, checks, component, component_sharing};
use stack::redis::Redis;

use crate::support::{MANY, check, execute};

const DATABASES: usize = 8;
const RUNS: usize = 1000;
const CONCURRENT: usize = 40;

fn proxy(server: &Redis) -> FaultProxy {
    FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())))
}

/// A check for each database, named `db<number>`. The key `where` in the database has this name as its value.
fn all_databases(server: &Redis, address: SocketAddr) -> String {
    (0..DATABASES).fold(String::new(), |mut toml, number| {
        let number = number.to_string();
        let name = format!("db{number}");
        server.command(&["-n", &number, "SET", "where", &name]).unwrap();
        writeln!(toml, "{name} = 'redis://{address}/{number}'").unwrap();
        toml
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_of_all_databases_share_one_connection() {
    let server = Redis::start(&[]).unwrap();
    let proxy = proxy(&server);
    let toml = all_databases(&server, proxy.address());
    let shared = SharedResources::default();
    let sections = ["cache", "other"].map(|name| component_sharing(&MANY, name, &toml, &shared));
    for _ in 0..3 {
        for (_, check) in sections.iter().flat_map(checks) {
            execute(&check).await.expect_working();
        }
    }
    assert_eq!(proxy.counts().accepted, 1);
}

/// An answer that is too large ends the shared connection, which is a failure of its own check only.
#[tokio::test]
async fn an_answer_that_is_too_large_fails_no_other_check() {
    let server = Redis::start(&[]).unwrap();
    server.command(&["SET", "where", "small"]).unwrap();
    server.command(&["-n", "1", "SETRANGE", "where", "2000000", "large"]).unwrap();
    let url = format!("redis://127.0.0.1:{}", server.port());
    let checks =
        checks(&component(&MANY, "redis", &format!("large = '{url}/1'\nsmall = '{url}/0'\n")));
    let (large, small) = (&checks[0].1, &checks[1].1);
    execute(small).await.expect_working();
    let (large, small) = tokio::join!(execute(large), execute(small));
    assert!(large.line().contains("the server's answer is too large"), "{large:?}");
    small.expect_working();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_runs_in_many_databases_are_not_mixed_up() {
    let server = Redis::start(&[]).unwrap();
    let proxy = proxy(&server);
    let checks = checks(&component(&MANY, "cache", &all_databases(&server, proxy.address())));
    for batch in 0..RUNS / CONCURRENT {
        let runs: Vec<_> = (0..CONCURRENT)
            .map(|run| {
                let (_, check) = checks[(batch + run) % checks.len()].clone();
                tokio::spawn(async move { execute(&check).await })
            })
            .collect();
        for run in runs {
            run.await.unwrap().expect_working();
        }
    }
    assert_eq!(proxy.counts().accepted, 1);
    for number in 0..DATABASES {
        let left = server.command(&["-n", &number.to_string(), "DBSIZE"]).unwrap();
        assert_eq!(left, "1", "only `where` is left in database {number}");
    }
}

#[tokio::test]
async fn a_user_without_select_works_in_database_0() {
    let server =
        Redis::start(&["user app on >app-password ~health-gateway:* -@all +set +get +del"])
            .unwrap();
    let url = format!("redis://app:app-password@127.0.0.1:{}", server.port());
    execute(&check(&format!("url = '{url}'"))).await.expect_working();
    assert_eq!(
        execute(&check(&format!("url = '{url}/1'"))).await.line(),
        format!(
            "select: NOPERM this user has no permissions to run the 'select' command (127.0.0.1:{})",
            server.port()
        )
    );
}

#[tokio::test]
async fn a_fresh_connection_is_closed_after_each_run() {
    let server = Redis::start(&[]).unwrap();
    let proxy = proxy(&server);
    let toml = format!("url = 'redis://{}'\nconnection = 'fresh'", proxy.address());
    let check = check(&toml);
    for run in 1..=3 {
        execute(&check).await.expect_working();
        assert_eq!(proxy.wait_for_open(0).await.accepted, run);
    }
}
