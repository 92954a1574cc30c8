//! What many callers cost the backends: connections that a fresh run opens, and runs under a thousand callers.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::backends::Tapped;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::{Gateway, request};
use crate::http::load::{Heard, Load};
use crate::measure::{Measured, number, percentile};
use crate::proc;
use crate::rows::Bench;

const RUNS: usize = 1000;
const CALLERS: usize = 1000;
const LASTING: Duration = Duration::from_secs(10);

/// Fresh runs in steady state, with a tap before every backend that sees the shortest of connections.
pub(crate) fn connections(bench: &Bench) -> Result<Vec<Figure>> {
    let tapped = Tapped::new()?;
    let gateway = Gateway::start(bench.gateway(), "", &tapped.backends().sections())?;
    let mut caller = gateway.fresh_caller()?;
    let (accepted, sockets) = (tapped.accepted(), proc::files(gateway.pid()?)?);
    for _ in 0..RUNS {
        caller.ask()?;
    }
    caller.report()?;
    let opened = tapped.accepted() - accepted;
    let now = proc::files(gateway.pid()?)?;
    let others: BTreeSet<_> = now.difference(&sockets).collect();
    Ok(vec![Figure {
        name: "connections that a fresh run opens in steady state".to_owned(),
        measured: Measured::counted(number(opened + others.len()) / number(RUNS)),
        unit: "",
        bound: Bound::AtMost(0.0),
        detail: format!(
            "{opened} accepted by the backends in {RUNS} runs, {} other files opened",
            others.len()
        ),
    }])
}

/// A thousand callers, each with a connection of his own for each question: more than are served at a time.
pub(crate) fn runs(bench: &Bench) -> Result<Vec<Figure>> {
    let tapped = Tapped::new()?;
    let gateway =
        Gateway::start(bench.gateway(), "max_age = \"1s\"", &tapped.backends().sections())?;
    gateway.fresh_caller()?;
    let before = tapped.runs();
    let load = Load { callers: CALLERS, lasting: LASTING, fresh_connections: true };
    let Heard { answers, lost, unanswered } = load.try_run(gateway.listen(), &request(&[]))?;
    let runs: Vec<_> = tapped
        .runs()
        .into_iter()
        .zip(before)
        .map(|((name, now), (_, before))| (name, now - before))
        .collect();
    let most = runs.iter().map(|(_, runs)| *runs).max().unwrap_or_default();
    let told: Vec<_> = runs.iter().map(|(name, runs)| format!("{name} {runs}")).collect();
    let waited: Vec<_> = answers.iter().map(|answer| answer.waited).collect();
    Ok(vec![Figure {
        name: format!("runs of a check, {CALLERS} callers, {} s", LASTING.as_secs()),
        measured: Measured::counted(number(most)),
        unit: "",
        bound: Bound::AtMost(11.0),
        detail: format!(
            "{}; {} answers, {lost} connections lost, {unanswered} callers never answered, the median caller waited {:.0} ms, the slowest {:.0} ms",
            told.join(", "),
            answers.len(),
            percentile(&waited, 50),
            percentile(&waited, 100)
        ),
    }])
}
