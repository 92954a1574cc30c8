//! The fleet: many gateways that share results, which may run checks no more often than one.
//!
//! All servers are private, so that their counts are those of these gateways.
//! One gateway without `[share]` is the yardstick: it has as many callers as the fleet.

mod callers;
mod faults;
mod periods;
mod replica;
mod servers;
pub(crate) mod simulation;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{Context, Error, Result};
use crate::figure::{Bound, Figure, Verdict, table};
use crate::findings::Findings;
use crate::fleet::callers::Callers;
use crate::fleet::faults::{break_store, disturb};
use crate::fleet::replica::Replica;
use crate::fleet::servers::{Runs, Servers};
use crate::measure::{Measurement, median, number, percentile};
use crate::proc;

/// How many gateways are started at the same time.
const GROUP: usize = 4;
/// The names of the checks.
const CHECKS: [&str; 2] = ["redis", "postgres"];
/// How often the fleet may run a check for each run of one gateway.
const MAX_RUNS: f64 = 1.1;
/// Longer than the gateways take to use the store again: they reconnect after pauses of at most 10 seconds.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

/// What happened in a time.
struct Span {
    seconds: f64,
    runs: [usize; 2],
    commits: usize,
    answers: usize,
}

/// Gateways with their callers, which end when this is dropped.
struct Fleet {
    replicas: Arc<Vec<Replica>>,
    callers: Arc<Callers>,
    stopped: CancellationToken,
    calling: JoinHandle<()>,
    /// How long it took until all had given a complete report.
    start: Duration,
    _folder: TempDir,
}

/// Runs the fleet, prints its table, and returns whether nothing was found.
pub(crate) fn run(binary: &Path, replicas: usize, duration: Duration, seed: u64) -> Result<bool> {
    eprintln!("fleet: {replicas} gateways, {} s, with the seed {seed}", duration.as_secs());
    let runtime = Builder::new_multi_thread().enable_all().build().context("create a runtime")?;
    let findings = Arc::new(Findings::new("fleet"));
    let servers = Arc::new(Servers::start(replicas)?);
    let start = |count, is_shared| {
        let config = servers.config(is_shared);
        Fleet::start(binary, count, replicas, &config, &servers, &findings, &runtime)
    };

    let alone = start(1, false)?;
    let one = alone.measure(&servers, || sleep(duration / 2))?;
    alone.stop(&runtime)?;

    let fleet = start(replicas, true)?;
    eprintln!("fleet: {replicas} gateways have given a complete report");
    let (cpu, store_cpu) = (fleet.cpu()?, servers.store_cpu()?);
    let healthy = fleet.measure(&servers, || sleep(duration.mul_f64(0.25)))?;
    let cpu = fleet.cpu()?.saturating_sub(cpu).as_secs_f64() / healthy.seconds;
    let store_cpu = servers.store_cpu()?.saturating_sub(store_cpu).as_secs_f64() / healthy.seconds;
    let (connections, scripts) = (servers.connections()?, servers.scripts()?);
    let memory = fleet.memory()?;

    eprintln!("fleet: killing and pausing gateways");
    let mut faults = faults::Faults::default();
    let disturbed = fleet.measure(&servers, || {
        faults = disturb(&fleet.replicas, &servers, duration.mul_f64(0.35), seed)?;
        Ok(())
    })?;

    eprintln!("fleet: breaking the store");
    let broken = fleet.measure(&servers, || break_store(&servers, duration.mul_f64(0.15)))?;
    let again = Instant::now();
    fleet.wait_for_store()?;
    let again = again.elapsed();
    let healed = fleet.measure(&servers, || sleep(duration.mul_f64(0.25)))?;
    let starts: Vec<_> = fleet.replicas.iter().map(|it| it.start.as_secs_f64()).collect();
    let ([wrong, late], answers) = (fleet.callers.defects(), fleet.callers.answers());
    let (summary, total) = (fleet.callers.summary(), fleet.start);
    fleet.stop(&runtime)?;

    let spans = [
        ("while all is well", &healthy),
        ("while replicas are killed and paused", &disturbed),
        ("after the store's return", &healed),
    ];
    let mut figures: Vec<_> = spans
        .into_iter()
        .flat_map(|(when, span)| (0..CHECKS.len()).map(move |check| (when, span, check)))
        .map(|(when, span, check)| against_one(when, span, &one, check))
        .collect();
    figures.extend((0..CHECKS.len()).map(|check| without_store(&broken, check)));
    for (name, count) in [("wrong answers", wrong), ("late answers", late)] {
        figures.push(Figure {
            name: name.to_owned(),
            measured: Measurement::exact(number(count)),
            unit: "",
            bound: Bound::AtMost(0.0),
            detail: format!("of {answers}"),
        });
    }
    println!("{}", table(&figures));
    let [of_store, of_redis, of_postgres] = connections;
    println!(
        "connections of {replicas} gateways: {of_store} at the store, {of_redis} at redis, {of_postgres} at postgres"
    );
    println!(
        "CPU: the store {:.2} %, all gateways {:.0} % of a core; its scripts until then: {scripts}",
        store_cpu * 100.0,
        cpu * 100.0
    );
    println!(
        "start: all complete after {:.1} s; one in {:.2} s (median), {:.2} s (maximum)",
        total.as_secs_f64(),
        median(&starts),
        percentile(&starts, 100)
    );
    println!(
        "memory of a gateway: {:.1} MB (median), {:.1} MB (maximum)",
        median(&memory),
        percentile(&memory, 100)
    );
    println!("the store was used by all again {:.1} s after its return", again.as_secs_f64());
    println!(
        "commits of postgres: {} of one gateway in {:.0} s; {} in {:.0} s while all is well, {} in {:.0} s while replicas are killed and paused",
        one.commits,
        one.seconds,
        healthy.commits,
        healthy.seconds,
        disturbed.commits,
        disturbed.seconds
    );
    println!(
        "{summary}; {} killed, {} paused, {} outages of redis",
        faults.killed, faults.paused, faults.outages
    );
    for figure in figures.iter().filter(|it| it.verdict() == Verdict::Missed) {
        findings.report(format!("{}: {}", figure.name, figure.detail));
    }
    Ok(findings
        .print("the backends saw no more runs than of one gateway, and every answer was right"))
}

#[allow(clippy::unnecessary_wraps, reason = "what is measured may fail")]
fn sleep(duration: Duration) -> Result<()> {
    thread::sleep(duration);
    Ok(())
}

/// Compares the runs of a check with those of one gateway. Either count may be wrong by one.
fn against_one(when: &str, span: &Span, one: &Span, check: usize) -> Figure {
    let (runs, runs_of_one) = (span.runs[check], one.runs[check]);
    let [rate, rate_of_one] =
        [(runs, span), (runs_of_one, one)].map(|(runs, span)| number(runs) / span.seconds);
    let value = rate / rate_of_one;
    let noise = value * (1.0 / number(runs.max(1)) + 1.0 / number(runs_of_one.max(1)));
    Figure {
        name: format!("runs of {} {when}", CHECKS[check]),
        measured: Measurement { value, noise },
        unit: "×",
        bound: Bound::AtMost(MAX_RUNS),
        detail: format!(
            "{runs} in {:.0} s, of one gateway {runs_of_one} in {:.0} s",
            span.seconds, one.seconds
        ),
    }
}

/// Compares the runs of a check with the requests, of which each may cause one.
fn without_store(span: &Span, check: usize) -> Figure {
    let (runs, answers) = (span.runs[check], span.answers);
    Figure {
        name: format!("runs of {} for each request without the store", CHECKS[check]),
        measured: Measurement::exact(number(runs) / number(answers.max(1))),
        unit: "",
        bound: Bound::AtMost(MAX_RUNS),
        detail: format!("{runs} in {:.0} s, for {answers} requests", span.seconds),
    }
}

impl Fleet {
    /// Starts `count` gateways in small groups, and then `callers` that ask them.
    fn start(
        binary: &Path,
        count: usize,
        callers: usize,
        config: &str,
        servers: &Arc<Servers>,
        findings: &Arc<Findings>,
        runtime: &Runtime,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("create a folder")?;
        let file = folder.path().join("fleet.toml");
        fs::write(&file, config).context("write the configuration")?;
        let (begun, next) = (Instant::now(), AtomicUsize::new(0));
        let start_some = || {
            let mut started = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok(started);
                }
                let home = folder.path().join(at.to_string());
                started.push(Replica::start(binary, &file, &home)?);
            }
        };
        let groups: Result<Vec<Vec<Replica>>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..GROUP).map(|_| scope.spawn(start_some)).collect();
            let died = |_| Error::new("a thread that starts gateways has panicked");
            threads.into_iter().map(|thread| thread.join().map_err(died)?).collect()
        });
        let replicas = Arc::new(groups?.into_iter().flatten().collect());
        let start = begun.elapsed();
        let stopped = CancellationToken::new();
        let calls = Callers::new(&replicas, servers, findings);
        let callers = u32::try_from(callers).context("the number of gateways")?;
        let calling = runtime.spawn(calls.clone().run(callers, stopped.clone()));
        Ok(Self { replicas, callers: calls, stopped, calling, start, _folder: folder })
    }

    /// Returns what happens while `act` runs.
    fn measure(&self, servers: &Servers, act: impl FnOnce() -> Result<()>) -> Result<Span> {
        let (before, answers): (Runs, _) = (servers.runs(), self.callers.answers());
        act()?;
        let after = servers.runs();
        Ok(Span {
            seconds: (after.at - before.at).as_secs_f64(),
            runs: [after.of[0] - before.of[0], after.of[1] - before.of[1]],
            commits: after.commits - before.commits,
            answers: self.callers.answers() - answers,
        })
    }

    /// The CPU time of all gateways.
    fn cpu(&self) -> Result<Duration> {
        self.replicas.iter().map(|it| proc::own_cpu(it.pid()?)).sum()
    }

    /// The resident memory of each gateway in megabytes.
    fn memory(&self) -> Result<Vec<f64>> {
        let megabytes = |bytes: u64| number(usize::try_from(bytes).unwrap_or(usize::MAX)) / 1e6;
        self.replicas.iter().map(|it| Ok(megabytes(proc::resident(it.pid()?)?))).collect()
    }

    /// Waits until all gateways use the store.
    fn wait_for_store(&self) -> Result<()> {
        let deadline = Instant::now() + STORE_TIMEOUT;
        for replica in self.replicas.iter() {
            while !replica.has_store()? {
                if Instant::now() > deadline {
                    let address = replica.address;
                    return Err(Error::new(format!("{address} does not use the store again")));
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    fn stop(self, runtime: &Runtime) -> Result<()> {
        self.stopped.cancel();
        runtime.block_on(self.calling).context("call the gateways")
    }
}
