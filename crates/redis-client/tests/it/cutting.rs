//! Runs that time out leave no socket, task or key behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe_testkit::{FaultProxy, run};
use stack::redis::Redis;
use tokio::runtime::Handle;

use crate::support::{check, execute};

const RUNS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_cut_at_any_point_leaves_nothing_behind() {
    let server = Redis::start(&["requirepass secret-pass"]).unwrap();
    let proxy = FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())));
    let before = Handle::current().metrics().num_alive_tasks();
    let check = check(&format!("url = 'redis://:secret-pass@{}/1'", proxy.address()));
    // Connecting takes four round trips, and the commands take one. With the delay, each takes 4 ms.
    proxy.delay(Duration::from_millis(2));
    for number in 0..RUNS {
        let _outcome = run(&check, Duration::from_micros(u64::from(number) * 300)).await;
    }
    proxy.heal();
    execute(&check).await.expect_working();
    proxy.wait_for_open(1).await;
    drop(check);
    proxy.wait_for_open(0).await;
    let all_ended = async {
        while Handle::current().metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_ended).await.unwrap();
    assert_eq!(server.command(&["-a", "secret-pass", "-n", "1", "DBSIZE"]).unwrap(), "0");
}

/// Concurrent pipelines are sent together, on behalf of the first caller. If that caller is dropped, the others must still be sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_caller_does_not_affect_concurrent_ones() {
    let server = Redis::start(&[]).unwrap();
    let check = check(&format!("url = 'redis://127.0.0.1:{}/1'", server.port()));
    execute(&check).await.expect_working();
    for number in 0..RUNS {
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let check = check.clone();
                tokio::spawn(async move { execute(&check).await })
            })
            .collect();
        for (index, run) in (0..).zip(runs) {
            if (index + number) % 3 == 0 {
                run.abort();
            } else {
                run.await.unwrap().expect_working();
            }
        }
    }
    server.wait_for(&["-n", "1", "DBSIZE"], "0").unwrap();
}
