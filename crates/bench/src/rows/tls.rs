//! A fresh run with every backend over TLS, and the renewal of all connections, against the floor.

use std::time::Duration;

use crate::encrypted::EncryptedServers;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::floor::{Floor, Requests};
use crate::gateway::Gateway;
use crate::measure::{median, number, ratio};
use crate::proc;
use crate::rows::Bench;
use crate::rows::fresh::{BLOCKS, Contender, REQUESTS, cpu_against_floor};

/// Each of them opens every connection.
const RENEWALS: usize = 20;

/// How long the gateway trusts a connection: longer than a run, in which several checks share one, and shorter than the pause between two runs.
const RECONNECT: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(120);

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let servers = EncryptedServers::start()?;
    let backends = servers.backends();
    let gateway = Gateway::start(bench.gateway(), "", &backends.sections())?;
    let reconnect = format!("reconnect = \"{}ms\"\n", RECONNECT.as_millis());
    let renewing = backends.sections_with(&reconnect);
    let renewing_gateway = Gateway::start(bench.gateway(), "", &renewing)?;

    let mut ours = Contender::gateway(&gateway, REQUESTS)?;
    let mut floor = Contender::floor(backends, Requests::OfGateway)?;
    let mut renewing = Contender::gateway(&renewing_gateway, RENEWALS)?.with_pause(PAUSE);
    let to_open = backends.clone();
    let mut opening = Contender::in_this_process(RENEWALS, move || {
        Floor::connect(&to_open, Requests::OfGateway)?.run()
    })
    .with_pause(PAUSE);
    for _ in 0..BLOCKS {
        for contender in [&mut floor, &mut ours, &mut opening, &mut renewing] {
            contender.run_block()?;
        }
    }
    let connections = proc::connections(gateway.pid()?, &backends.addresses())?;
    let opened_by_floor = Floor::connect(backends, Requests::OfGateway)?.connections();
    let of_gateway = differences(&renewing.cpu, &ours.cpu, connections);
    let of_floor = differences(&opening.cpu, &floor.cpu, opened_by_floor);
    let (renewed, kept) = (renewing.medians(), ours.medians());
    let (opened, open) = (opening.medians(), floor.medians());
    Ok(vec![
        Figure {
            name: "a fresh run over TLS, median, against the floor over TLS".to_owned(),
            measured: ratio(&kept, &open),
            unit: "×",
            bound: Bound::AtMost(1.3),
            detail: format!("gateway {}, floor {}", ours.summary(), floor.summary()),
        },
        cpu_against_floor("CPU of the same, against the floor's", &ours, &floor),
        Figure {
            name: "the same with all connections renewed, against a floor that opens them"
                .to_owned(),
            measured: ratio(&renewed, &opened),
            unit: "×",
            bound: Bound::AtMost(1.3),
            detail: format!("gateway {}, floor {}", renewing.summary(), opening.summary()),
        },
        Figure {
            name: "CPU of the renewal of a connection, against the floor's".to_owned(),
            measured: ratio(&of_gateway, &of_floor),
            unit: "×",
            bound: Bound::AtMost(2.0),
            detail: format!(
                "gateway {:.2} ms for each of {connections} connections, floor {:.2} ms for each of {opened_by_floor}",
                median(&of_gateway),
                median(&of_floor)
            ),
        },
    ])
}

/// What the renewal of each connection adds to a run, block by block.
fn differences(with: &[f64], without: &[f64], connections: usize) -> Vec<f64> {
    let pairs = with.iter().zip(without);
    pairs.map(|(with, without)| (with - without) / number(connections)).collect()
}
