//! CPU time of a check with ten, a hundred and a thousand checks, against that of the floor.

use std::net::SocketAddr;

use stack::{HEALTH_PASSWORD, HEALTH_USER, REDIS};

use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::floor::Floor;
use crate::gateway::Gateway;
use crate::measure::{median, ms, number, ratio};
use crate::proc::Cpu;
use crate::rows::Bench;

/// Numbers of checks, each with its runs in a block.
const SIZES: [(usize, usize); 3] = [(10, 1500), (100, 200), (1000, 20)];
const BLOCKS: usize = 5;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    // Each of them lives as long as its gateway.
    let mut gateways = Vec::new();
    for (checks, runs) in SIZES {
        let gateway = Gateway::start(bench.gateway(), "", &sections(checks))?;
        let mut client = gateway.fresh_client()?;
        let run = move || client.get().map(drop);
        ours.push(Contender::new(checks, runs, Cpu::Threads(gateway.pid()?), run));
        gateways.push(gateway);
        let mut connections = Floor::of_redis(SocketAddr::from(REDIS), checks)?;
        floor.push(Contender::new(checks, runs, Cpu::Own, move || connections.run()));
    }
    for _ in 0..BLOCKS {
        ours.iter_mut().chain(&mut floor).try_for_each(Contender::run_block)?;
    }
    Ok(vec![Figure {
        name: "CPU for each check and run, most against least, against the floor's".to_owned(),
        measured: ratio(&spreads(&ours), &spreads(&floor)),
        unit: "×",
        bound: Bound::AtMost(1.5),
        detail: format!(
            "{}, so {:.2}; floor {}, so {:.2}",
            summary(&ours),
            median(&spreads(&ours)),
            summary(&floor),
            median(&spreads(&floor))
        ),
    }])
}

/// The gateway or the floor with a number of checks.
struct Contender {
    run: Box<dyn FnMut() -> Result<()>>,
    checks: usize,
    runs: usize,
    measured: Cpu,
    /// CPU time for each check and run in microseconds, block by block.
    costs: Vec<f64>,
}

impl Contender {
    fn new(
        checks: usize,
        runs: usize,
        measured: Cpu,
        run: impl FnMut() -> Result<()> + 'static,
    ) -> Self {
        Self { run: Box::new(run), checks, runs, measured, costs: Vec::new() }
    }

    fn run_block(&mut self) -> Result<()> {
        let runs = || (0..self.runs).try_for_each(|_| (self.run)());
        let ((), used) = self.measured.during(runs)?;
        self.costs.push(ms(used) * 1000.0 / number(self.runs * self.checks));
        Ok(())
    }
}

/// The highest cost of a check in each block against the lowest.
fn spreads(sizes: &[Contender]) -> Vec<f64> {
    let spread = |block: usize| {
        let costs = sizes.iter().map(|sized| sized.costs[block]);
        costs.clone().fold(0.0, f64::max) / costs.fold(f64::INFINITY, f64::min)
    };
    (0..BLOCKS).map(spread).collect()
}

fn summary(sizes: &[Contender]) -> String {
    let sized = |it: &Contender| format!("{} checks {:.1} µs", it.checks, median(&it.costs));
    sizes.iter().map(sized).collect::<Vec<_>>().join(", ")
}

fn sections(checks: usize) -> String {
    let url = format!("redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{REDIS}/0");
    let section = |at| format!("[redis_{at}]\nkind = \"redis\"\nurl = \"{url}\"\n\n");
    (0..checks).map(section).collect()
}
