//! The CPU time of concurrent checks on one connection: `cargo bench -p redis-client`.

#![expect(clippy::unwrap_used, reason = "the bench fails by panicking")]

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use probe::{Check, DynChecks, Failure, Kind, Section, Steps};
use probe_testkit::{run, single};
use redis_client::{Canary, Redis};
use stack::redis::Redis as Server;

/// The checks of a run, as many as those of the bench of the gateway.
const CHECKS: usize = 12;
const RUNS: u32 = 5_000;
const TIMEOUT: Duration = Duration::from_secs(10);

const KIND: Kind = Kind { name: "redis", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let redis = Redis::read(section.shared(), &mut fields);
    fields.single(|| Some(WriteReadDelete(redis?)))
}

struct WriteReadDelete(Redis);

impl Check for WriteReadDelete {
    fn target(&self) -> &str {
        self.0.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let canary = Canary::new("");
        self.0.execute(steps, &[canary.write(), canary.read(), canary.delete()]).await.map(drop)
    }
}

/// The CPU time of this thread, in nanoseconds.
fn cpu() -> u64 {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = Server::start(&[]).unwrap();
    let check = single(&KIND, "redis", &format!("url = 'redis://127.0.0.1:{}'", server.port()));
    run(&check, TIMEOUT).await.expect_working();
    let mut blocks = Vec::new();
    for _ in 0..9 {
        let before = cpu();
        for _ in 0..RUNS {
            for outcome in join_all((0..CHECKS).map(|_| run(&check, TIMEOUT))).await {
                outcome.expect_working();
            }
        }
        blocks.push((cpu() - before) / u64::from(RUNS) / 1000);
    }
    blocks.sort_unstable();
    println!(
        "CPU of a run of {CHECKS} checks: {} µs, {} to {} µs",
        blocks[4], blocks[0], blocks[8]
    );
}
