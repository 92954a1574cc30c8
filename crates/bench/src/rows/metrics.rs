//! CPU time of a scrape, and the memory of ten thousand checks that are scraped.

use std::thread;
use std::time::{Duration, Instant};

use stack::{HEALTH_PASSWORD, HEALTH_USER, REDIS2};

use crate::error::{Context, Error, Result};
use crate::figure::{Bound, Figure};
use crate::gateway::Gateway;
use crate::http::client::{Client, Request, check_results};
use crate::measure::{Measurement, median, megabytes, ms, number};
use crate::proc::{self, Cpu};
use crate::rows::Bench;

/// Scrapes in a block.
const SCRAPES: usize = 1000;
const BLOCKS: usize = 5;
const CHECKS: usize = 10_000;
/// Longer than the interval of the checks.
const ALL_RUN_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    Ok(vec![scrape(bench)?, memory(bench)?])
}

fn scrape(bench: &Bench) -> Result<Figure> {
    let folder = tempfile::tempdir().context("create a folder")?;
    let gateway = Gateway::start_with_config(bench.gateway(), &stack::demo_config(), folder)?;
    let path = format!("/api/health/{}/", stack::access_token()?);
    let mut client = Client::connect(gateway.address(), Request::get(&path, &[]))?;
    let checks = check_results(&client.get_report()?).len();
    let mut client = gateway.metrics_client()?;
    let bytes = client.get()?.len();
    let mut costs = Vec::new();
    for _ in 0..BLOCKS {
        let scrapes = || (0..SCRAPES).try_for_each(|_| client.get().map(drop));
        let ((), spent) = Cpu::Threads(gateway.pid()?).during(scrapes)?;
        costs.push(ms(spent) / number(SCRAPES));
    }
    Ok(Figure {
        name: format!("CPU for a scrape of {checks} checks"),
        measured: Measurement::median_of(&costs),
        unit: " ms",
        bound: Bound::AtMost(1.0),
        detail: format!(
            "{bytes} bytes; median of {BLOCKS} blocks of {SCRAPES}: {:.2} ms",
            median(&costs)
        ),
    })
}

/// Measures the memory without a caller, so that it includes no reports with ten thousand results.
fn memory(bench: &Bench) -> Result<Figure> {
    let url = format!("redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{REDIS2}/1");
    let checks = (0..CHECKS).map(|at| format!("c{at} = \"{url}\"\n"));
    let sections = format!("[cache]\n{}", checks.collect::<String>());
    let gateway = Gateway::start(bench.gateway(), "", &sections)?;
    let mut client = gateway.metrics_client()?;
    let deadline = Instant::now() + ALL_RUN_TIMEOUT;
    while working(client.get()?) < CHECKS {
        if Instant::now() > deadline {
            return Err(Error::new("not all checks work"));
        }
        thread::sleep(Duration::from_secs(1));
    }
    let resident = megabytes(proc::resident(gateway.pid()?)?);
    Ok(Figure {
        name: format!("resident memory of {CHECKS} checks with an interval, scraped"),
        measured: Measurement::exact(resident),
        unit: " MB",
        bound: Bound::AtMost(120.0),
        detail: "caches on one Redis, each of which has run".to_owned(),
    })
}

/// The number of checks that work.
fn working(metrics: &[u8]) -> usize {
    let text = String::from_utf8_lossy(metrics);
    text.lines()
        .filter(|it| it.starts_with("health_gateway_check_up{") && it.ends_with(" 1"))
        .count()
}
