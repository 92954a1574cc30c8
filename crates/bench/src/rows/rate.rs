//! Answers within `max_age`: how many a second, beside a bare hyper server that answers a body of the same size.

use std::net::SocketAddr;
use std::time::Duration;

use crate::backends::Backends;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::{Gateway, request};
use crate::http::bare::Bare;
use crate::http::load::Load;
use crate::measure::{median, number, percentile, ratio};
use crate::rows::Bench;

const BLOCKS: usize = 6;
const CALLERS: usize = 64;
const LASTING: Duration = Duration::from_secs(2);

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let gateway = Gateway::start(bench.gateway(), "", &Backends::default().sections())?;
    let body = gateway.caller(&[])?.ask()?.to_vec();
    gateway.caller(&[])?.report()?;
    let bare = Bare::start(&body)?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        ours.push(block(gateway.listen())?);
        limit.push(block(bare.listen())?);
    }
    let rates = |blocks: &[Block]| blocks.iter().map(|block| block.rate).collect::<Vec<_>>();
    let slow =
        |blocks: &[Block]| median(&blocks.iter().map(|block| block.slow).collect::<Vec<_>>());
    let told = |blocks: &[Block]| {
        format!("{:.0}/s, 99th percentile {:.1} ms", median(&rates(blocks)), slow(blocks))
    };
    Ok(vec![Figure {
        name: format!("answers within `max_age`, {CALLERS} callers, against bare hyper"),
        measured: ratio(&rates(&ours), &rates(&limit)),
        unit: "×",
        bound: Bound::AtLeast(0.9),
        detail: format!(
            "gateway {}; bare hyper {}; {} bytes each",
            told(&ours),
            told(&limit),
            body.len()
        ),
    }])
}

struct Block {
    /// Answers in a second.
    rate: f64,
    /// The 99th percentile of what callers waited, in milliseconds.
    slow: f64,
}

fn block(address: SocketAddr) -> Result<Block> {
    let load = Load { callers: CALLERS, lasting: LASTING, fresh_connections: false };
    let answers = load.run(address, &request(&[]))?;
    let waited: Vec<_> = answers.iter().map(|answer| answer.waited).collect();
    let rate = number(answers.len()) / LASTING.as_secs_f64();
    Ok(Block { rate, slow: percentile(&waited, 99) })
}
