//! CPU time of a check with ten, a hundred and a thousand checks.
//!
//! The cost of a bare server's response is reported as well, because the checks share that overhead.

use stack::{HEALTH_PASSWORD, HEALTH_USER, REDIS};

use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::{Gateway, request};
use crate::http::bare::BareServer;
use crate::http::client::Client;
use crate::measure::{Measurement, median, ms, number};
use crate::proc;
use crate::rows::Bench;

/// Numbers of checks, each with its runs in a block, which is long enough for the kernel's clock ticks of 10 ms.
const SIZES: [(usize, usize); 3] = [(10, 1500), (100, 200), (1000, 20)];
const BLOCKS: usize = 5;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let mut gateways = Vec::new();
    for (checks, runs) in SIZES {
        let gateway = Gateway::start(bench.gateway(), "", &sections(checks))?;
        let client = gateway.fresh_client()?;
        gateways.push(SizedGateway { gateway, client, checks, runs, costs: Vec::new() });
    }
    let body = gateways[0].client.get()?.to_vec();
    let bare = BareServer::start(&body)?;
    let mut client = Client::connect(bare.address(), request(&[]))?;
    let mut bare_costs = Vec::new();
    for _ in 0..BLOCKS {
        gateways.iter_mut().try_for_each(SizedGateway::run_block)?;
        bare_costs.push(cost(bare.pid()?, &mut client, SIZES[0].1)?);
    }
    let ratios: Vec<_> = (0..BLOCKS)
        .map(|block| {
            let costs = gateways.iter().map(|sized| sized.costs[block]);
            costs.clone().fold(0.0, f64::max) / costs.fold(f64::INFINITY, f64::min)
        })
        .collect();
    let summary: Vec<_> = gateways
        .iter()
        .map(|sized| format!("{} checks {:.1} µs", sized.checks, median(&sized.costs)))
        .collect();
    Ok(vec![Figure {
        name: "CPU for each check and run, most against least".to_owned(),
        measured: Measurement::median_of(&ratios),
        unit: "×",
        bound: Bound::AtMost(1.2),
        detail: format!(
            "{}; a bare hyper server's response to one client {:.1} µs",
            summary.join(", "),
            median(&bare_costs)
        ),
    }])
}

/// A gateway with a number of checks.
struct SizedGateway {
    gateway: Gateway,
    client: Client,
    checks: usize,
    runs: usize,
    /// CPU time for each check and run in microseconds, block by block.
    costs: Vec<f64>,
}

impl SizedGateway {
    fn run_block(&mut self) -> Result<()> {
        let cost = cost(self.gateway.pid()?, &mut self.client, self.runs)?;
        self.costs.push(cost / number(self.checks));
        Ok(())
    }
}

/// Returns the CPU time of a server for each request in microseconds.
fn cost(pid: i32, client: &mut Client, requests: usize) -> Result<f64> {
    let before = proc::cpu(pid)?;
    for _ in 0..requests {
        client.get()?;
    }
    Ok(ms(proc::cpu(pid)?.saturating_sub(before)) * 1000.0 / number(requests))
}

fn sections(checks: usize) -> String {
    let url = format!("redis://{HEALTH_USER}:{HEALTH_PASSWORD}@{REDIS}/0");
    let section = |at| format!("[redis_{at}]\nkind = \"redis\"\nurl = \"{url}\"\n\n");
    (0..checks).map(section).collect()
}
