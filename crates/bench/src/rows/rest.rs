//! CPU time of a gateway that has been asked once, and that nothing asks since.

use std::thread;
use std::time::Duration;

use crate::backends::Backends;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::Gateway;
use crate::measure::{Measurement, ms};
use crate::proc::Cpu;
use crate::rows::Bench;

const BLOCKS: usize = 4;
const BLOCK: Duration = Duration::from_secs(4);

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let gateway = Gateway::start_unscraped(bench.gateway(), "", &Backends::default().sections())?;
    drop(gateway.fresh_client()?);
    let mut costs = Vec::new();
    for _ in 0..BLOCKS {
        let wait = || {
            thread::sleep(BLOCK);
            Ok(())
        };
        let ((), used) = Cpu::Threads(gateway.pid()?).during(wait)?;
        costs.push(ms(used) / BLOCK.as_secs_f64());
    }
    let all: Vec<_> = costs.iter().map(|cost| format!("{cost:.2}")).collect();
    Ok(vec![Figure {
        name: "CPU at rest, each second".to_owned(),
        measured: Measurement::median_of(&costs),
        unit: " ms",
        bound: Bound::AtMost(0.2),
        detail: format!(
            "after a run, without callers, scrapes and an interval; {BLOCKS} blocks of {BLOCK:?}: {}",
            all.join(", ")
        ),
    }])
}
