//! Files and threads that leak in ten thousand runs with random connection faults.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::backends::ProxiedBackends;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::Gateway;
use crate::http::client::{Client, check_results};
use crate::measure::{Measurement, number};
use crate::proc;
use crate::proxy::ProxyMode;
use crate::rows::Bench;

const RUNS: usize = 10_000;
/// The time limit of the runs. If it is reached, there are fewer of them, and the figure's name contains their number.
const TIME_LIMIT: Duration = Duration::from_secs(75);
/// Longer than an idle thread is kept, and longer than an abandoned run takes to end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(45);
/// The maximum duration of a fault and of the pause after it, in milliseconds.
const MAX_FAULT_MS: u64 = 20;

/// Short timeouts, because ten thousand runs with unresponsive backends would take hours.
const SETTINGS: &str = "timeout = \"50ms\"\noverdue_wait = \"2ms\"";

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let backends = ProxiedBackends::new()?;
    let gateway = Gateway::start(bench.gateway(), SETTINGS, &backends.backends().sections())?;
    let pid = gateway.pid()?;
    // No client is connected while the process settles, because the gateway closes idle connections.
    drop(gateway.fresh_client()?);
    let before = wait_until_settled(pid, None)?;

    let mut client = gateway.fresh_client()?;
    let stopped = AtomicBool::new(false);
    let started_at = Instant::now();
    let (runs, failed) = thread::scope(|scope| {
        scope.spawn(|| inject_faults(&backends, &stopped));
        let (mut runs, mut failed) = (0, 0);
        let result = (|| {
            while runs < RUNS && started_at.elapsed() < TIME_LIMIT {
                let report = serde_json::from_slice(client.get()?).unwrap_or_default();
                let results = check_results(&report);
                failed +=
                    results.iter().filter(|(_, result)| result["status"] != "working").count();
                runs += 1;
            }
            Ok(())
        })();
        stopped.store(true, Ordering::Relaxed);
        result.map(|()| (runs, failed))
    })?;
    let seconds = started_at.elapsed().as_secs();
    wait_until_working(&mut client)?;
    drop(client);
    let after = wait_until_settled(pid, Some(&before))?;
    let increase = |after: usize, before: usize| Measurement::exact(number(after) - number(before));
    Ok(vec![
        Figure {
            name: format!("open files more than before, after {runs} runs with random faults"),
            measured: increase(after.files, before.files),
            unit: "",
            bound: Bound::AtMost(0.0),
            detail: format!(
                "{} before, {} after; {failed} checks failed meanwhile, in {seconds} s",
                before.files, after.files
            ),
        },
        Figure {
            name: "threads, the same".to_owned(),
            measured: increase(after.threads, before.threads),
            unit: "",
            bound: Bound::AtMost(0.0),
            detail: format!("{} before, {} after", before.threads, after.threads),
        },
    ])
}

/// Resets, holds and rejects connections of random backends until it is stopped. The sequence is always the same.
fn inject_faults(backends: &ProxiedBackends, stopped: &AtomicBool) {
    let proxies: Vec<_> = backends.proxies().collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let count = u64::try_from(proxies.len()).unwrap_or(1);
    while !stopped.load(Ordering::Relaxed) {
        let at = usize::try_from(next(count)).unwrap_or_default();
        let proxy = proxies[at];
        match next(4) {
            0 => proxy.reset_connections(),
            1 => proxy.set_mode(ProxyMode::Hold),
            2 => proxy.set_mode(ProxyMode::Reset),
            _ => {
                proxy.set_mode(ProxyMode::Reset);
                proxy.reset_connections();
            }
        }
        thread::sleep(Duration::from_millis(next(MAX_FAULT_MS)));
        proxy.set_mode(ProxyMode::Forward);
        thread::sleep(Duration::from_millis(next(MAX_FAULT_MS)));
    }
    for proxy in proxies {
        proxy.set_mode(ProxyMode::Forward);
    }
}

/// The open files and threads of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resources {
    files: usize,
    threads: usize,
}

/// Waits until the process's resources are stable, or equal to those before.
fn wait_until_settled(pid: i32, before: Option<&Resources>) -> Result<Resources> {
    let started_at = Instant::now();
    let mut last = (resources(pid)?, Instant::now());
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = resources(pid)?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        let is_stable = last.1.elapsed() > IDLE_TIME;
        if before == Some(&now)
            || before.is_none() && is_stable
            || started_at.elapsed() > SETTLE_TIMEOUT
        {
            return Ok(now);
        }
    }
}

/// Longer than an idle thread is kept.
const IDLE_TIME: Duration = Duration::from_secs(12);

fn resources(pid: i32) -> Result<Resources> {
    let threads = usize::try_from(proc::threads(pid)?).unwrap_or_default();
    Ok(Resources { files: proc::open_files(pid)?, threads })
}

/// Repeats the request until all checks are working again.
fn wait_until_working(client: &mut Client) -> Result<()> {
    let started_at = Instant::now();
    loop {
        match client.get_report() {
            Err(_) if started_at.elapsed() < IDLE_TIME => thread::sleep(Duration::from_millis(100)),
            result => return result.map(drop),
        }
    }
}
