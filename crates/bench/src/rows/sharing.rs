//! Load on the backends: connections opened by fresh runs, and runs for a thousand clients.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::backends::ProxiedBackends;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::{Gateway, request};
use crate::http::load::{Load, LoadResult};
use crate::measure::{Measurement, number, percentile};
use crate::proc;
use crate::rows::Bench;

const RUNS: usize = 1000;
const CLIENTS: usize = 1000;
const DURATION: Duration = Duration::from_secs(10);

/// Counts the connections of fresh runs in steady state, with proxies, which also count short-lived ones.
pub(crate) fn connections(bench: &Bench) -> Result<Vec<Figure>> {
    let backends = ProxiedBackends::new()?;
    let gateway = Gateway::start(bench.gateway(), "", &backends.backends().sections())?;
    let mut client = gateway.fresh_client()?;
    let (accepted, sockets) = (backends.accepted(), proc::files(gateway.pid()?)?);
    for _ in 0..RUNS {
        client.get()?;
    }
    client.get_report()?;
    let opened = backends.accepted() - accepted;
    let now = proc::files(gateway.pid()?)?;
    let others: BTreeSet<_> = now.difference(&sockets).collect();
    Ok(vec![Figure {
        name: "connections that a fresh run opens in steady state".to_owned(),
        measured: Measurement::exact(number(opened + others.len()) / number(RUNS)),
        unit: "",
        bound: Bound::AtMost(0.0),
        detail: format!(
            "{opened} accepted by the backends in {RUNS} runs, {} other files opened",
            others.len()
        ),
    }])
}

/// Counts the runs for a thousand clients that open a connection for each request, more than are served concurrently.
pub(crate) fn runs(bench: &Bench) -> Result<Vec<Figure>> {
    let backends = ProxiedBackends::new()?;
    let gateway =
        Gateway::start(bench.gateway(), "max_age = \"1s\"", &backends.backends().sections())?;
    gateway.fresh_client()?;
    let before = backends.runs();
    let load = Load { clients: CLIENTS, duration: DURATION, fresh_connections: true };
    let LoadResult { samples, lost, unanswered } =
        load.try_run(gateway.address(), &request(&[]))?;
    let runs: Vec<_> = backends
        .runs()
        .into_iter()
        .zip(before)
        .map(|((name, now), (_, before))| (name, now - before))
        .collect();
    let most = runs.iter().map(|(_, runs)| *runs).max().unwrap_or_default();
    let summary: Vec<_> = runs.iter().map(|(name, runs)| format!("{name} {runs}")).collect();
    let latencies: Vec<_> = samples.iter().map(|sample| sample.latency).collect();
    Ok(vec![Figure {
        name: format!("runs of a check, {CLIENTS} callers, {} s", DURATION.as_secs()),
        measured: Measurement::exact(number(most)),
        unit: "",
        bound: Bound::AtMost(11.0),
        detail: format!(
            "{}; {} responses, {lost} connections lost, {unanswered} requests without a response, latency {:.0} ms at the median and {:.0} ms at most",
            summary.join(", "),
            samples.len(),
            percentile(&latencies, 50),
            percentile(&latencies, 100)
        ),
    }])
}
