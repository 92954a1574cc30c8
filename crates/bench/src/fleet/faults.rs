//! Kills and pauses replicas, and breaks a backend and the store.

use std::time::{Duration, Instant};
use std::{iter, thread};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::error::Result;
use crate::fleet::replica::Replica;
use crate::fleet::servers::Servers;

/// The share of replicas that are killed or paused at a time: one of this many.
const SHARE: usize = 20;
/// How long they are, in milliseconds: longer than a lease, which is 2 seconds.
const DISTURBANCE: std::ops::Range<u64> = 2_500..6_000;
/// The time between two disturbances.
const PAUSE: Duration = Duration::from_secs(2);

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) killed: usize,
    pub(super) paused: usize,
    pub(super) outages: usize,
}

/// Disturbs some replicas again and again, and among them those that run the checks. One is paused all the time.
///
/// In every third round, the backend Redis does not run.
pub(super) fn disturb(
    replicas: &[Replica],
    servers: &Servers,
    duration: Duration,
    seed: u64,
) -> Result<Faults> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut faults = Faults::default();
    let end = Instant::now() + duration;
    let Some((always, others)) = replicas.split_last() else { return Ok(faults) };
    always.pause();
    faults.paused += 1;
    for round in 0.. {
        let left = end.saturating_duration_since(Instant::now());
        if left < PAUSE + Duration::from_millis(DISTURBANCE.end) {
            thread::sleep(left);
            break;
        }
        let home = others.iter().find(|it| it.runs("redis").unwrap_or_default());
        let count = others.len() / SHARE;
        let chosen = iter::repeat_with(|| &others[random.random_range(0..others.len())]);
        let mut chosen: Vec<_> = home.into_iter().chain(chosen.take(count)).collect();
        chosen.sort_by_key(|it| it.address);
        chosen.dedup_by_key(|it| it.address);
        if round % 3 == 1 {
            servers.stop_redis();
            faults.outages += 1;
        }
        // In turns, so that the replica that runs a check is killed and paused.
        let (killed, paused): (Vec<_>, Vec<_>) =
            (round..).zip(chosen).partition(|(at, _)| at % 2 == 0);
        for (_, replica) in &killed {
            replica.kill();
        }
        for (_, replica) in &paused {
            replica.pause();
        }
        faults.killed += killed.len();
        faults.paused += paused.len();
        thread::sleep(Duration::from_millis(random.random_range(DISTURBANCE)));
        for (_, replica) in &paused {
            replica.resume();
        }
        if round % 3 == 1 {
            servers.restart_redis()?;
        }
        for (_, replica) in &killed {
            replica.restart()?;
        }
        thread::sleep(PAUSE);
    }
    always.resume();
    Ok(faults)
}

/// Pauses the store for half of the time, then kills it, and starts it again at the end.
pub(super) fn break_store(servers: &Servers, duration: Duration) -> Result<()> {
    servers.store.lock().server.pause();
    thread::sleep(duration / 2);
    servers.store.lock().server.stop();
    thread::sleep(duration / 2);
    servers.store.lock().server.restart()
}
