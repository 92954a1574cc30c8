//! Latency and CPU of fresh runs for one client, against the floor and the peer.

use std::thread;
use std::time::{Duration, Instant};

use crate::backends::Backends;
use crate::error::{Error, Result};
use crate::figure::{Bound, Figure};
use crate::floor::{Floor, Requests};
use crate::gateway::Gateway;
use crate::http::client::Client;
use crate::measure::{Blocks, median, ms, number, percentile, ratio};
use crate::peer::{Peer, Setup};
use crate::proc::Cpu;
use crate::rows::Bench;

/// The contenders run alternately, in blocks; the 99th percentile of a block needs some hundred requests.
pub(super) const BLOCKS: usize = 10;
pub(super) const REQUESTS: usize = 300;
/// The peer is slow: with its defaults it takes more than a second.
const TUNED_REQUESTS: usize = 20;
const DEFAULT_REQUESTS: usize = 2;

/// A contender of the comparison.
pub(super) struct Contender {
    request: Box<dyn FnMut() -> Result<f64>>,
    count: usize,
    /// The pause before each request, which does not count as its time.
    pause: Duration,
    measured: Cpu,
    times: Blocks,
    /// CPU time for each request in milliseconds, block by block.
    pub(super) cpu: Vec<f64>,
}

impl Contender {
    /// The floor on open connections.
    pub(super) fn floor(backends: &Backends, requests: Requests) -> Result<Self> {
        let mut floor = Floor::connect(backends, requests)?;
        Ok(Self::in_this_process(REQUESTS, move || floor.run()))
    }

    /// Work of this process.
    pub(super) fn in_this_process(
        count: usize,
        mut work: impl FnMut() -> Result<()> + 'static,
    ) -> Self {
        let request = move || {
            let started_at = Instant::now();
            work()?;
            Ok(ms(started_at.elapsed()))
        };
        Self::new(Box::new(request), count, Cpu::Own)
    }

    /// A gateway that runs its checks for each request.
    pub(super) fn gateway(gateway: &Gateway, count: usize) -> Result<Self> {
        Ok(Self::http(gateway.fresh_client()?, count, Cpu::Threads(gateway.pid()?)))
    }

    fn http(mut client: Client, count: usize, measured: Cpu) -> Self {
        Self::new(Box::new(move || client.timed_get()), count, measured)
    }

    fn new(request: Box<dyn FnMut() -> Result<f64>>, count: usize, measured: Cpu) -> Self {
        let (pause, times) = (Duration::ZERO, Blocks::default());
        Self { request, count, pause, measured, times, cpu: Vec::new() }
    }

    /// The same with a pause before each request.
    pub(super) fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    pub(super) fn run_block(&mut self) -> Result<()> {
        let mut request = || {
            thread::sleep(self.pause);
            (self.request)()
        };
        let times = || (0..self.count).map(|_| request()).collect();
        let (times, used) = self.measured.during(times)?;
        self.times.push(times);
        self.cpu.push(ms(used) / number(self.count));
        Ok(())
    }

    pub(super) fn medians(&self) -> Vec<f64> {
        self.times.per_block(median)
    }

    fn p99s(&self) -> Vec<f64> {
        self.times.per_block(|block| percentile(block, 99))
    }

    /// Formats the median, and the 10th and 90th percentiles.
    pub(super) fn summary(&self) -> String {
        let all = self.times.all();
        let [low, middle, high] = [10, 50, 90].map(|percent| percentile(&all, percent));
        format!("{middle:.2} ms ({low:.2} to {high:.2})")
    }
}

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let backends = Backends::default();
    let gateway = Gateway::start(bench.gateway(), "", &backends.sections())?;
    let mut floor = Contender::floor(&backends, Requests::OfGateway)?;
    let mut smallest = Contender::floor(&backends, Requests::Smallest)?;
    let mut ours = Contender::gateway(&gateway, REQUESTS)?;
    let peers = (Peer::start(Setup::Tuned)?, Peer::start(Setup::Defaults)?);
    let peer = |peer: &Peer, count| {
        Ok::<_, Error>(Contender::http(peer.client()?, count, Cpu::Tree(peer.pid()?)))
    };
    let mut tuned = peer(&peers.0, TUNED_REQUESTS)?;
    let mut defaults = peer(&peers.1, DEFAULT_REQUESTS)?;
    for _ in 0..BLOCKS {
        for contender in [&mut floor, &mut ours, &mut smallest, &mut tuned, &mut defaults] {
            contender.run_block()?;
        }
    }
    let p99 = |contender: &Contender| format!("{:.2} ms", median(&contender.p99s()));
    Ok(vec![
        Figure {
            name: "a fresh run, median, against the floor".to_owned(),
            measured: ratio(&ours.medians(), &floor.medians()),
            unit: "×",
            bound: Bound::AtMost(1.1),
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
            bound: Bound::AtMost(1.1),
            detail: format!(
                "gateway {}, floor {}, floor of the smallest requests {}",
                p99(&ours),
                p99(&floor),
                p99(&smallest)
            ),
        },
        cpu_against_floor("CPU of a fresh run, against the floor's", &ours, &floor),
        cpu("tuned", &tuned, &ours, 80.0),
        cpu("with its defaults", &defaults, &ours, 50.0),
    ])
}

/// The gateway's CPU time for a run, against that of a floor.
pub(super) fn cpu_against_floor(name: &str, ours: &Contender, floor: &Contender) -> Figure {
    Figure {
        name: name.to_owned(),
        measured: ratio(&ours.cpu, &floor.cpu),
        unit: "×",
        bound: Bound::AtMost(2.0),
        detail: format!(
            "gateway {:.2} ms of CPU, floor {:.2} ms",
            median(&ours.cpu),
            median(&floor.cpu)
        ),
    }
}

fn cpu(setup: &str, peer: &Contender, ours: &Contender, least: f64) -> Figure {
    Figure {
        name: format!("CPU of a fresh run: django-health-check's, {setup}, against ours"),
        measured: ratio(&peer.cpu, &ours.cpu),
        unit: "×",
        bound: Bound::AtLeast(least),
        detail: format!(
            "gateway {:.2} ms of CPU; peer {:.1} ms of CPU, {}",
            median(&ours.cpu),
            median(&peer.cpu),
            peer.summary()
        ),
    }
}
