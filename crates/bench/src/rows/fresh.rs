//! A fresh run, asked by one caller again and again: beside the floor, and beside the peer.

use std::time::Duration;

use crate::backends::Backends;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::floor::{Floor, Questions};
use crate::gateway::Gateway;
use crate::http::caller::Caller;
use crate::measure::{Blocks, Measured, median, ms, number, percentile, ratio};
use crate::peer::{Peer, Setup};
use crate::proc;
use crate::rows::Bench;

/// The sides take turns in blocks; a block's 99th percentile needs some hundred asks.
const BLOCKS: usize = 10;
const ASKS: usize = 300;
/// The peer is slow: with its defaults it takes more than a second.
const TUNED_ASKS: usize = 20;
const DEFAULT_ASKS: usize = 2;

/// One side of the comparison.
struct Side {
    ask: Box<dyn FnMut() -> Result<f64>>,
    asks: usize,
    pid: Option<i32>,
    times: Blocks,
    /// Milliseconds of the CPU for each ask, block by block.
    cpu: Vec<f64>,
}

impl Side {
    fn floor(questions: Questions) -> Result<Self> {
        let mut floor = Floor::connect(&Backends::default(), questions)?;
        let ask = move || {
            let asked = std::time::Instant::now();
            floor.ask()?;
            Ok(ms(asked.elapsed()))
        };
        Ok(Self::new(Box::new(ask), ASKS, None))
    }

    fn http(mut caller: Caller, asks: usize, pid: i32) -> Self {
        Self::new(Box::new(move || caller.time()), asks, Some(pid))
    }

    fn new(ask: Box<dyn FnMut() -> Result<f64>>, asks: usize, pid: Option<i32>) -> Self {
        Self { ask, asks, pid, times: Blocks::default(), cpu: Vec::new() }
    }

    fn block(&mut self) -> Result<()> {
        let cpu = |pid: Option<i32>| pid.map_or(Ok(Duration::ZERO), proc::cpu);
        let before = cpu(self.pid)?;
        let times: Result<Vec<_>> = (0..self.asks).map(|_| (self.ask)()).collect();
        let used = cpu(self.pid)?.saturating_sub(before);
        self.times.push(times?);
        self.cpu.push(ms(used) / number(self.asks));
        Ok(())
    }

    fn medians(&self) -> Vec<f64> {
        self.times.each(median)
    }

    fn slow(&self) -> Vec<f64> {
        self.times.each(|block| percentile(block, 99))
    }

    /// The median, and the span of four fifths of all answers.
    fn told(&self) -> String {
        let all = self.times.all();
        let [low, middle, high] = [10, 50, 90].map(|percent| percentile(&all, percent));
        format!("{middle:.2} ms ({low:.2} to {high:.2})")
    }
}

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let gateway = Gateway::start(bench.gateway(), "", &Backends::default().sections())?;
    let mut floor = Side::floor(Questions::Same)?;
    let mut smallest = Side::floor(Questions::Smallest)?;
    let mut ours = Side::http(gateway.fresh_caller()?, ASKS, gateway.pid()?);
    let peers = (Peer::start(Setup::Tuned)?, Peer::start(Setup::Defaults)?);
    let mut tuned = Side::http(peers.0.caller()?, TUNED_ASKS, peers.0.pid()?);
    let mut defaults = Side::http(peers.1.caller()?, DEFAULT_ASKS, peers.1.pid()?);
    for _ in 0..BLOCKS {
        for side in [&mut floor, &mut ours, &mut smallest, &mut tuned, &mut defaults] {
            side.block()?;
        }
    }
    let p99 = |side: &Side| format!("{:.2} ms", Measured::of(&side.slow()).value);
    Ok(vec![
        Figure {
            name: "a fresh run, median, against the floor".to_owned(),
            measured: ratio(&ours.medians(), &floor.medians()),
            unit: "×",
            bound: Bound::AtMost(1.3),
            detail: format!(
                "gateway {}, floor {}, floor of the smallest questions {}",
                ours.told(),
                floor.told(),
                smallest.told()
            ),
        },
        Figure {
            name: "a fresh run, 99th percentile, against the floor's".to_owned(),
            measured: ratio(&ours.slow(), &floor.slow()),
            unit: "×",
            bound: Bound::AtMost(1.5),
            detail: format!(
                "gateway {}, floor {}, floor of the smallest questions {}",
                p99(&ours),
                p99(&floor),
                p99(&smallest)
            ),
        },
        cpu("tuned", &tuned, &ours),
        cpu("with its defaults", &defaults, &ours),
    ])
}

fn cpu(setup: &str, peer: &Side, ours: &Side) -> Figure {
    let used = |side: &Side| Measured::of(&side.cpu).value;
    Figure {
        name: format!("CPU of a fresh run: django-health-check's, {setup}, against ours"),
        measured: ratio(&peer.cpu, &ours.cpu),
        unit: "×",
        bound: Bound::AtLeast(50.0),
        detail: format!(
            "gateway {:.2} ms of CPU; peer {:.1} ms of CPU, {}",
            used(ours),
            used(peer),
            peer.told()
        ),
    }
}
