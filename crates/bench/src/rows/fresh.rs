//! Latency and CPU of fresh runs for one client, against the floor and the peer.

use std::time::Duration;

use crate::backends::Backends;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::floor::{Floor, Requests};
use crate::gateway::Gateway;
use crate::http::client::Client;
use crate::measure::{Blocks, Measurement, median, ms, number, percentile, ratio};
use crate::peer::{Peer, Setup};
use crate::proc;
use crate::rows::Bench;

/// The contenders run alternately, in blocks; the 99th percentile of a block needs some hundred requests.
const BLOCKS: usize = 10;
const REQUESTS: usize = 300;
/// The peer is slow: with its defaults it takes more than a second.
const TUNED_REQUESTS: usize = 20;
const DEFAULT_REQUESTS: usize = 2;

/// A contender of the comparison.
struct Contender {
    request: Box<dyn FnMut() -> Result<f64>>,
    count: usize,
    pid: Option<i32>,
    times: Blocks,
    /// CPU time for each request in milliseconds, block by block.
    cpu: Vec<f64>,
}

impl Contender {
    fn floor(requests: Requests) -> Result<Self> {
        let mut floor = Floor::connect(&Backends::default(), requests)?;
        let request = move || {
            let started_at = std::time::Instant::now();
            floor.run()?;
            Ok(ms(started_at.elapsed()))
        };
        Ok(Self::new(Box::new(request), REQUESTS, None))
    }

    fn http(mut client: Client, count: usize, pid: i32) -> Self {
        Self::new(Box::new(move || client.timed_get()), count, Some(pid))
    }

    fn new(request: Box<dyn FnMut() -> Result<f64>>, count: usize, pid: Option<i32>) -> Self {
        Self { request, count, pid, times: Blocks::default(), cpu: Vec::new() }
    }

    fn run_block(&mut self) -> Result<()> {
        let cpu = |pid: Option<i32>| pid.map_or(Ok(Duration::ZERO), proc::cpu);
        let before = cpu(self.pid)?;
        let times: Result<Vec<_>> = (0..self.count).map(|_| (self.request)()).collect();
        let used = cpu(self.pid)?.saturating_sub(before);
        self.times.push(times?);
        self.cpu.push(ms(used) / number(self.count));
        Ok(())
    }

    fn medians(&self) -> Vec<f64> {
        self.times.per_block(median)
    }

    fn p99s(&self) -> Vec<f64> {
        self.times.per_block(|block| percentile(block, 99))
    }

    /// Formats the median, and the 10th and 90th percentiles.
    fn summary(&self) -> String {
        let all = self.times.all();
        let [low, middle, high] = [10, 50, 90].map(|percent| percentile(&all, percent));
        format!("{middle:.2} ms ({low:.2} to {high:.2})")
    }
}

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let gateway = Gateway::start(bench.gateway(), "", &Backends::default().sections())?;
    let mut floor = Contender::floor(Requests::OfGateway)?;
    let mut smallest = Contender::floor(Requests::Smallest)?;
    let mut ours = Contender::http(gateway.fresh_client()?, REQUESTS, gateway.pid()?);
    let peers = (Peer::start(Setup::Tuned)?, Peer::start(Setup::Defaults)?);
    let mut tuned = Contender::http(peers.0.client()?, TUNED_REQUESTS, peers.0.pid()?);
    let mut defaults = Contender::http(peers.1.client()?, DEFAULT_REQUESTS, peers.1.pid()?);
    for _ in 0..BLOCKS {
        for contender in [&mut floor, &mut ours, &mut smallest, &mut tuned, &mut defaults] {
            contender.run_block()?;
        }
    }
    let p99 = |contender: &Contender| {
        format!("{:.2} ms", Measurement::median_of(&contender.p99s()).value)
    };
    Ok(vec![
        Figure {
            name: "a fresh run, median, against the floor".to_owned(),
            measured: ratio(&ours.medians(), &floor.medians()),
            unit: "×",
            bound: Bound::AtMost(1.3),
            detail: format!(
                "gateway {}, floor {}, floor of the smallest requests {}",
                ours.summary(),
                floor.summary(),
                smallest.summary()
            ),
        },
        Figure {
            name: "a fresh run, 99th percentile, against the floor's".to_owned(),
            measured: ratio(&ours.p99s(), &floor.p99s()),
            unit: "×",
            bound: Bound::AtMost(1.5),
            detail: format!(
                "gateway {}, floor {}, floor of the smallest requests {}",
                p99(&ours),
                p99(&floor),
                p99(&smallest)
            ),
        },
        cpu("tuned", &tuned, &ours),
        cpu("with its defaults", &defaults, &ours),
    ])
}

fn cpu(setup: &str, peer: &Contender, ours: &Contender) -> Figure {
    let used = |contender: &Contender| Measurement::median_of(&contender.cpu).value;
    Figure {
        name: format!("CPU of a fresh run: django-health-check's, {setup}, against ours"),
        measured: ratio(&peer.cpu, &ours.cpu),
        unit: "×",
        bound: Bound::AtLeast(50.0),
        detail: format!(
            "gateway {:.2} ms of CPU; peer {:.1} ms of CPU, {}",
            used(ours),
            used(peer),
            peer.summary()
        ),
    }
}
