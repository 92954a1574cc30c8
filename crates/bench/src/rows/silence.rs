//! One backend stops responding under 64 clients: the other checks, and the clients' latencies.

use std::thread;
use std::time::Duration;

use stack::redis::Redis;
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::backends::Backends;
use crate::error::{Error, Result};
use crate::figure::{Bound, Figure};
use crate::gateway::{Gateway, NO_CACHE, request};
use crate::http::client::check_results;
use crate::http::load::{Load, Sample};
use crate::measure::{Measurement, median, percentile, ratio};
use crate::rows::Bench;

const CLIENTS: usize = 64;
/// The timeout of every check.
const TIMEOUT: Duration = Duration::from_secs(2);
const DURATION: Duration = Duration::from_secs(6);
/// The number of reports that are read under load.
const REPORTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);
/// The number of blocks that the response times are divided into.
const BLOCKS: usize = 10;
/// A short `overdue_wait`, for callers that rather have the last result at once.
const OVERDUE_WAIT: Duration = Duration::from_millis(5);

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let paused = Redis::start(&[&format!("user {HEALTH_USER} on >{HEALTH_PASSWORD} ~* +@all")])?;
    let redis = ([127, 0, 0, 1], paused.port()).into();
    let backends = Backends { redis, ..Backends::default() };
    let settings = format!("timeout = \"{}s\"", TIMEOUT.as_secs());
    let start = |settings: &str| {
        let gateway = Gateway::start(bench.gateway(), settings, &backends.sections())?;
        gateway.fresh_client()?;
        Ok::<_, Error>(gateway)
    };
    let gateway = start(&settings)?;
    let (before, _) = run_load(&gateway, &[NO_CACHE])?;
    paused.server.pause();
    let (during, samples) = run_load(&gateway, &[NO_CACHE])?;
    paused.server.resume();
    drop(gateway);
    let gateway = start(&format!("{settings}\noverdue_wait = \"{}ms\"", OVERDUE_WAIT.as_millis()))?;
    paused.server.pause();
    // The first caller waits for the timeout.
    gateway.client(&[NO_CACHE])?.get()?;
    let (_, at_once) = run_load(&gateway, &[])?;
    paused.server.resume();

    let latencies = |samples: &[Sample]| samples.iter().map(|it| it.latency).collect::<Vec<_>>();
    let (first, later) = samples.split_at(CLIENTS.min(samples.len()));
    let (first, later, at_once) = (latencies(first), latencies(later), latencies(&at_once));
    let beyond = percentile(&first, 100) - TIMEOUT.as_secs_f64() * 1000.0;
    Ok(vec![
        Figure {
            name: format!("one backend silent, {CLIENTS} callers: the others' answers"),
            measured: ratio(&before.block_medians(), &during.block_medians()),
            unit: "×",
            bound: Bound::AtLeast(1.0),
            detail: format!(
                "all `working`; as fast as before: median {:.2} ms before, {:.2} ms meanwhile",
                median(&before.0),
                median(&during.0)
            ),
        },
        Figure {
            name: "the same: what the first callers wait beyond the deadline".to_owned(),
            measured: Measurement::exact(beyond),
            unit: " ms",
            bound: Bound::AtMost(20.0),
            detail: format!("the slowest of the first {CLIENTS}; the deadline is {TIMEOUT:?}"),
        },
        Figure {
            name: "the same: what callers wait from then on".to_owned(),
            measured: Measurement::exact(percentile(&later, 100)),
            unit: " ms",
            bound: Bound::AtMost(120.0),
            detail: format!(
                "the slowest of {}, median {:.0} ms",
                later.len(),
                percentile(&later, 50)
            ),
        },
        Figure {
            name: format!("the same with an `overdue_wait` of {OVERDUE_WAIT:?}: 99 of 100 callers"),
            measured: Measurement::exact(percentile(&at_once, 99)),
            unit: " ms",
            bound: Bound::AtMost(10.0),
            detail: format!(
                "of {}, which accept results within `max_age`; median {:.0} ms, the slowest {:.0} ms",
                at_once.len(),
                percentile(&at_once, 50),
                percentile(&at_once, 100)
            ),
        },
    ])
}

/// The response times of the other backends' checks in milliseconds, as reported.
struct OtherChecks(Vec<f64>);

impl OtherChecks {
    fn block_medians(&self) -> Vec<f64> {
        self.0.chunks(self.0.len() / BLOCKS + 1).map(median).collect()
    }
}

/// Runs the clients, of which the requests have these headers, and reads fresh reports meanwhile.
fn run_load(gateway: &Gateway, headers: &[&str]) -> Result<(OtherChecks, Vec<Sample>)> {
    let load = Load { clients: CLIENTS, duration: DURATION, fresh_connections: false };
    let address = gateway.address();
    let request = request(headers);
    let clients = thread::spawn(move || load.run(address, &request));
    let mut others = Vec::new();
    let mut client = gateway.client(&[NO_CACHE])?;
    for _ in 0..REPORTS {
        let report = serde_json::from_slice(client.get()?)
            .map_err(|error| Error::new(format!("read the report: {error}")))?;
        for (name, result) in check_results(&report) {
            if name == "redis" {
                continue;
            }
            if result["status"] != "working" {
                return Err(Error::new(format!("{name}: {}", result["status"])));
            }
            let time = result["response_time"].as_str().and_then(|time| time.parse::<f64>().ok());
            others.push(time.unwrap_or(f64::INFINITY) * 1000.0);
        }
        thread::sleep(PAUSE);
    }
    let samples = clients.join().map_err(|_| Error::new("the load panicked"))??;
    Ok((OtherChecks(others), samples))
}
