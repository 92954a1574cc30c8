//! The soak: hours of requests, faults and rotations, in which nothing may grow.
//!
//! All servers are private, so that their counts are those of this gateway, and their passwords can change.
//! A proxy in front of each server injects faults at random: delays, cuts, refusals, silence.

mod callers;
mod faults;
mod gateway;
mod judge;
mod rotation;
mod sampling;
mod servers;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::error::{Context, Result};
use crate::figure::{Verdict, table};
use crate::findings::Findings;
use crate::soak::callers::Callers;
use crate::soak::gateway::SoakedGateway;
use crate::soak::rotation::Rotation;
use crate::soak::sampling::Samples;
use crate::soak::servers::Servers;

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two samples. Those of RabbitMQ cost a second of CPU time each.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// How often progress is reported.
const PROGRESS_INTERVAL: Duration = Duration::from_mins(1);

/// Runs the soak, prints its table, and returns whether nothing was found.
pub(crate) fn run(binary: &Path, duration: Duration, seed: u64) -> Result<bool> {
    eprintln!("soak: {} s with the seed {seed}", duration.as_secs());
    let runtime = Builder::new_multi_thread().enable_all().build().context("create a runtime")?;
    // The proxies spawn tasks when they are created.
    let _entered = runtime.enter();
    let findings = Arc::new(Findings::new("soak"));
    let servers = Servers::start()?;
    let gateway = SoakedGateway::start(binary, &servers)?;
    let rotation = Rotation::start(&servers, &gateway, &findings, seed)?;
    let names = gateway.wait_until_working(&rotation.token())?;
    let callers = Callers::new(gateway.address(), names, &rotation, &findings);

    let stopped = CancellationToken::new();
    let calling = runtime.spawn(callers.clone().run(seed, stopped.clone()));
    let faults = runtime.spawn(faults::inject(servers.proxies(), seed, stopped.clone()));
    let mut samples = Samples::default();
    thread::scope(|scope| {
        scope.spawn(|| rotation.run(&stopped));
        sample(&gateway, &servers, &findings, &mut samples, duration);
        stopped.cancel();
    });
    let faults = runtime.block_on(faults).context("inject faults")?;
    runtime.block_on(calling).context("call the gateway")?;
    gateway.check_end(&rotation.token(), &findings);

    println!("{}", table(&samples.figures()));
    println!("{}\n{faults} faults; {}", callers.summary(), rotation.summary());
    for figure in samples.figures().iter().filter(|it| it.verdict() == Verdict::Missed) {
        findings.report(format!("{} grows: {}", figure.name, figure.detail));
    }
    Ok(findings.print("nothing grew, and every answer was well-formed and in time"))
}

/// Takes samples until the end, or until the gateway has exited.
fn sample(
    gateway: &SoakedGateway,
    servers: &Servers,
    findings: &Findings,
    samples: &mut Samples,
    duration: Duration,
) {
    let started_at = Instant::now();
    let mut reported_at = started_at;
    while started_at.elapsed() < duration {
        gateway.check_log(findings);
        if let Err(error) = samples.take(gateway, servers) {
            findings.report(error.to_string());
        }
        if !gateway.is_running() {
            return findings.report("the gateway has exited");
        }
        if reported_at.elapsed() > PROGRESS_INTERVAL {
            reported_at = Instant::now();
            eprintln!("soak: {} s, {}", started_at.elapsed().as_secs(), samples.last());
        }
        thread::sleep(SAMPLE_INTERVAL);
    }
}
