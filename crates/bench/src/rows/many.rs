//! Ten thousand checks: the memory of each, and the time until all have run for a caller.

use std::thread;
use std::time::{Duration, Instant};

use stack::redis::Redis;
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::error::{Error, Result};
use crate::figure::{Bound, Figure};
use crate::gateway::{Gateway, INTERVAL};
use crate::measure::{Measurement, median, megabytes, number};
use crate::proc;
use crate::rows::Bench;

const FEW: usize = 10;
const MANY: usize = 10_000;
/// The memory in kB of the history of a check that has never failed, as a test of the gateway counts it.
const HISTORY: f64 = 1.8;
/// Longer than the interval of the checks.
const ALL_RUN_TIMEOUT: Duration = Duration::from_mins(1);
const REPORTS: usize = 10;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let redis = Redis::start(&[&format!("user {HEALTH_USER} on >{HEALTH_PASSWORD} ~* +@all")])?;
    let (_, few) = start(bench, &redis, FEW)?;
    let (gateway, many) = start(bench, &redis, MANY)?;
    let each = (many - few) * 1000.0 / number(MANY - FEW);
    let mut client = gateway.fresh_client()?;
    let times = (0..REPORTS).map(|_| Ok(client.timed_get()? / 1000.0));
    let times = times.collect::<Result<Vec<_>>>()?;
    client.get_report()?;
    Ok(vec![
        Figure {
            name: format!("memory of each of {MANY} checks, without its history"),
            measured: Measurement::exact(each - HISTORY),
            unit: " kB",
            bound: Bound::AtMost(4.0),
            detail: format!(
                "resident {few:.1} MB with {FEW} and {many:.1} MB with {MANY} checks that have run, so {each:.1} kB each, of which {HISTORY} kB are its history"
            ),
        },
        Figure {
            name: format!("a fresh report of {MANY} checks"),
            measured: Measurement::median_of(&times),
            unit: " s",
            bound: Bound::AtMost(0.2),
            detail: format!(
                "caches on one Redis; the median of {REPORTS}: {:.3} s",
                median(&times)
            ),
        },
    ])
}

/// Starts a gateway, waits until all of its checks have run without a caller, and returns its resident memory in megabytes.
fn start(bench: &Bench, redis: &Redis, checks: usize) -> Result<(Gateway, f64)> {
    let url = format!("redis://{HEALTH_USER}:{HEALTH_PASSWORD}@127.0.0.1:{}/1", redis.port());
    let caches = (0..checks).map(|at| format!("c{at} = \"{url}\"\n"));
    let sections = format!("[cache]\n{}", caches.collect::<String>());
    let before = runs(redis)?;
    let gateway = Gateway::start_unscraped(bench.gateway(), INTERVAL, &sections)?;
    let deadline = Instant::now() + ALL_RUN_TIMEOUT;
    while runs(redis)? < before + checks {
        if Instant::now() > deadline {
            return Err(Error::new(format!("{checks} checks: not all have run")));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let resident = megabytes(proc::resident(gateway.pid()?)?);
    Ok((gateway, resident))
}

/// Returns the number of runs that the server has seen, each of which ends by deleting its key.
fn runs(redis: &Redis) -> Result<usize> {
    let calls = redis.command(&["INFO", "commandstats"])?;
    let calls = calls.split("cmdstat_del:calls=").nth(1).and_then(|rest| rest.split(',').next());
    calls.map_or(Ok(0), |calls| {
        calls.parse().map_err(|error| Error::new(format!("redis: {calls}: {error}")))
    })
}
