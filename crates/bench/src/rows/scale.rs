//! What a check costs when there are ten, a hundred or a thousand of them.
//!
//! A server that answers without any check costs something as well; it is told beside them, since ten checks have to share it.

use stack::{HEALTH_PASSWORD, HEALTH_USER, REDIS};

use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::{Gateway, request};
use crate::http::bare::Bare;
use crate::http::caller::Caller;
use crate::measure::{Measured, median, ms, number};
use crate::proc;
use crate::rows::Bench;

/// How many checks, and how often they are run in a block: long enough for the kernel's clock of hundredths of a second.
const SIZES: [(usize, usize); 3] = [(10, 1500), (100, 200), (1000, 20)];
const BLOCKS: usize = 5;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let mut sides = Vec::new();
    for (checks, runs) in SIZES {
        let gateway = Gateway::start(bench.gateway(), "", &sections(checks))?;
        let caller = gateway.fresh_caller()?;
        sides.push(Side { gateway, caller, checks, runs, costs: Vec::new() });
    }
    let body = sides[0].caller.ask()?.to_vec();
    let bare = Bare::start(&body)?;
    let mut caller = Caller::connect(bare.listen(), request(&[]))?;
    let mut alone = Vec::new();
    for _ in 0..BLOCKS {
        sides.iter_mut().try_for_each(Side::block)?;
        alone.push(cost(bare.pid()?, &mut caller, SIZES[0].1)?);
    }
    let spreads: Vec<_> = (0..BLOCKS)
        .map(|block| {
            let costs = sides.iter().map(|side| side.costs[block]);
            costs.clone().fold(0.0, f64::max) / costs.fold(f64::INFINITY, f64::min)
        })
        .collect();
    let told: Vec<_> = sides
        .iter()
        .map(|side| format!("{} checks {:.1} µs", side.checks, median(&side.costs)))
        .collect();
    Ok(vec![Figure {
        name: "CPU for each check and run, most against least".to_owned(),
        measured: Measured::of(&spreads),
        unit: "×",
        bound: Bound::AtMost(1.2),
        detail: format!(
            "{}; a bare hyper server's answer to one caller {:.1} µs",
            told.join(", "),
            median(&alone)
        ),
    }])
}

/// A gateway with so many checks.
struct Side {
    gateway: Gateway,
    caller: Caller,
    checks: usize,
    runs: usize,
    /// Microseconds of the CPU for each check and run, block by block.
    costs: Vec<f64>,
}

impl Side {
    fn block(&mut self) -> Result<()> {
        let cost = cost(self.gateway.pid()?, &mut self.caller, self.runs)?;
        self.costs.push(cost / number(self.checks));
        Ok(())
    }
}

/// Microseconds of the CPU that a server takes for each answer to one caller.
fn cost(pid: i32, caller: &mut Caller, asks: usize) -> Result<f64> {
    let before = proc::cpu(pid)?;
    for _ in 0..asks {
        caller.ask()?;
    }
    Ok(ms(proc::cpu(pid)?.saturating_sub(before)) * 1000.0 / number(asks))
}

fn sections(checks: usize) -> String {
    let url = format!("redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{REDIS}/0");
    let section = |at| format!("[redis_{at}]\nkind = \"redis\"\nurl = \"{url}\"\n\n");
    (0..checks).map(section).collect()
}
