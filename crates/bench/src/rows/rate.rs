//! Throughput of cached reports, against a bare hyper server with an equally large body.

use std::net::SocketAddr;
use std::time::Duration;

use crate::backends::Backends;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::{Gateway, request};
use crate::http::bare::BareServer;
use crate::http::load::Load;
use crate::measure::{median, number, percentile, ratio};
use crate::rows::Bench;

const BLOCKS: usize = 6;
const CLIENTS: usize = 64;
const DURATION: Duration = Duration::from_secs(2);

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let gateway = Gateway::start(bench.gateway(), "", &Backends::default().sections())?;
    let body = gateway.client(&[])?.get()?.to_vec();
    gateway.client(&[])?.get_report()?;
    let bare = BareServer::start(&body)?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        ours.push(run_block(gateway.address())?);
        limit.push(run_block(bare.address())?);
    }
    let rates = |blocks: &[Block]| blocks.iter().map(|block| block.rate).collect::<Vec<_>>();
    let p99 = |blocks: &[Block]| median(&blocks.iter().map(|block| block.p99).collect::<Vec<_>>());
    let summary = |blocks: &[Block]| {
        format!("{:.0}/s, 99th percentile {:.1} ms", median(&rates(blocks)), p99(blocks))
    };
    Ok(vec![Figure {
        name: format!("answers within `max_age`, {CLIENTS} callers, against bare hyper"),
        measured: ratio(&rates(&ours), &rates(&limit)),
        unit: "×",
        bound: Bound::AtLeast(0.97),
        detail: format!(
            "gateway {}; bare hyper {}; {} bytes each",
            summary(&ours),
            summary(&limit),
            body.len()
        ),
    }])
}

struct Block {
    /// Responses per second.
    rate: f64,
    /// The 99th percentile of the latencies, in milliseconds.
    p99: f64,
}

fn run_block(address: SocketAddr) -> Result<Block> {
    let load = Load { clients: CLIENTS, duration: DURATION, fresh_connections: false };
    let samples = load.run(address, &request(&[]))?;
    let latencies: Vec<_> = samples.iter().map(|sample| sample.latency).collect();
    let rate = number(samples.len()) / DURATION.as_secs_f64();
    Ok(Block { rate, p99: percentile(&latencies, 99) })
}
