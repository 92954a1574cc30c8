//! Runs that are cut off leave no socket and no task behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use probe_testkit::{FaultProxy, run};
use stack::redis::Redis;
use tokio::runtime::Handle;

use crate::support::{ask, check};

const RUNS: u32 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_cut_at_any_point_leave_nothing_behind() {
    let server = Redis::start(&["requirepass secret-pass"]).unwrap();
    let proxy = FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, server.port())));
    let before = Handle::current().metrics().num_alive_tasks();
    let check = check(&format!("url = 'redis://:secret-pass@{}/1'", proxy.address()));
    // Connecting takes four round trips and asking one, each of them 4 ms long here.
    proxy.delay(Duration::from_millis(2));
    for number in 0..RUNS {
        let _cut_or_not = run(&check, Duration::from_micros(u64::from(number) * 300)).await;
    }
    proxy.heal();
    ask(&check).await.expect_working();
    proxy.wait_for_open(1).await;
    drop(check);
    proxy.wait_for_open(0).await;
    let all_ended = async {
        while Handle::current().metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_ended).await.unwrap();
    assert_eq!(server.ask(&["-a", "secret-pass", "-n", "1", "DBSIZE"]).unwrap(), "0");
}

/// Questions that are asked at the same time are sent together, by whoever asked first: if he hangs up, the others are asked all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_takes_nobody_elses_question_along() {
    let server = Redis::start(&[]).unwrap();
    let check = check(&format!("url = 'redis://127.0.0.1:{}/1'", server.port()));
    ask(&check).await.expect_working();
    for number in 0..RUNS {
        let asks: Vec<_> = (0..8)
            .map(|_| {
                let check = check.clone();
                tokio::spawn(async move { ask(&check).await })
            })
            .collect();
        for (at, ask) in (0..).zip(asks) {
            if (at + number) % 3 == 0 {
                ask.abort();
            } else {
                ask.await.unwrap().expect_working();
            }
        }
    }
    server.wait_for(&["-n", "1", "DBSIZE"], "0").unwrap();
}
