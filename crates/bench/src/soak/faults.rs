//! Injects random faults into each proxy independently: delays, cuts, refusals, silence.

use std::sync::Arc;
use std::time::Duration;

use probe_testkit::FaultProxy;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The longest time without a fault, in milliseconds.
const MAX_PAUSE: u64 = 10_000;
/// The longest fault, in milliseconds: longer than a check's timeout, shorter than an answer may take.
const MAX_FAULT: u64 = 4_000;
/// The longest delay of bytes, in milliseconds.
const MAX_DELAY: u64 = 500;
/// The most bytes that a connection forwards before it is cut: more than a handshake, less than a run.
const MAX_FORWARDED: usize = 4_000;

/// Injects faults until it is stopped, heals all proxies, and returns the number of faults.
pub(super) async fn inject(
    proxies: Vec<Arc<FaultProxy>>,
    seed: u64,
    stopped: CancellationToken,
) -> usize {
    let tasks: Vec<_> = (seed..)
        .zip(proxies)
        .map(|(seed, proxy)| tokio::spawn(inject_into(proxy, seed, stopped.clone())))
        .collect();
    let mut faults = 0;
    for task in tasks {
        faults += task.await.unwrap_or_default();
    }
    faults
}

async fn inject_into(proxy: Arc<FaultProxy>, seed: u64, stopped: CancellationToken) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut faults = 0;
    loop {
        let pause = Duration::from_millis(random.random_range(0..MAX_PAUSE));
        if stopped.run_until_cancelled(sleep(pause)).await.is_none() {
            return faults;
        }
        fault(&proxy, &mut random).await;
        faults += 1;
        sleep(Duration::from_millis(random.random_range(0..MAX_FAULT))).await;
        proxy.heal();
    }
}

async fn fault(proxy: &FaultProxy, random: &mut StdRng) {
    match random.random_range(0..6) {
        0 => proxy.delay(Duration::from_millis(random.random_range(0..MAX_DELAY))),
        1 => proxy.cut_after(random.random_range(0..MAX_FORWARDED)),
        2 => proxy.swallow(),
        3 => proxy.refuse().await,
        4 => proxy.reset().await,
        _ => proxy.close().await,
    }
}
