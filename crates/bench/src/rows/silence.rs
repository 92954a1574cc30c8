//! One backend falls silent under 64 callers: what the others say, and what callers wait.

use std::thread;
use std::time::Duration;

use stack::redis::Redis;
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::backends::Backends;
use crate::error::{Error, Result};
use crate::figure::{Bound, Figure};
use crate::gateway::{FRESH, Gateway, request};
use crate::http::caller::lines;
use crate::http::load::{Answered, Load};
use crate::measure::{Measured, median, percentile, ratio};
use crate::rows::Bench;

const CALLERS: usize = 64;
/// The deadline of every check.
const DEADLINE: Duration = Duration::from_secs(2);
const LASTING: Duration = Duration::from_secs(6);
/// How often the reports are looked at meanwhile, and how many looks are a block.
const LOOKS: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);
const BLOCK: usize = 10;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let silent = Redis::start(&[&format!("user {HEALTH_USER} on >{HEALTH_PASSWORD} ~* +@all")])?;
    let redis = ([127, 0, 0, 1], silent.port()).into();
    let backends = Backends { redis, ..Backends::default() };
    let settings = format!("timeout = \"{}s\"", DEADLINE.as_secs());
    let gateway = Gateway::start(bench.gateway(), &settings, &backends.sections())?;
    gateway.fresh_caller()?;

    let (before, _) = phase(&gateway)?;
    silent.server.pause();
    let (during, waits) = phase(&gateway)?;
    silent.server.resume();

    let first: Vec<_> = waits.iter().take(CALLERS).map(|answer| answer.waited).collect();
    let later: Vec<_> = waits.iter().skip(CALLERS).map(|answer| answer.waited).collect();
    let beyond = percentile(&first, 100) - DEADLINE.as_secs_f64() * 1000.0;
    Ok(vec![
        Figure {
            name: format!("one backend silent, {CALLERS} callers: the others' answers"),
            measured: ratio(&before.blocks(), &during.blocks()),
            unit: "×",
            bound: Bound::AtLeast(1.0),
            detail: format!(
                "all `working`; as fast as before: median {:.2} ms before, {:.2} ms meanwhile",
                median(&before.0),
                median(&during.0)
            ),
        },
        Figure {
            name: "the same: what the first callers wait beyond the deadline".to_owned(),
            measured: Measured::counted(beyond),
            unit: " ms",
            bound: Bound::AtMost(20.0),
            detail: format!("the slowest of the first {CALLERS}; the deadline is {DEADLINE:?}"),
        },
        Figure {
            name: "the same: what callers wait from then on".to_owned(),
            measured: Measured::counted(percentile(&later, 100)),
            unit: " ms",
            bound: Bound::AtMost(120.0),
            detail: format!(
                "the slowest of {}, median {:.0} ms",
                later.len(),
                percentile(&later, 50)
            ),
        },
    ])
}

/// What the checks of the other backends took, by their own account, in milliseconds.
struct Others(Vec<f64>);

impl Others {
    fn blocks(&self) -> Vec<f64> {
        self.0.chunks(self.0.len() / BLOCK + 1).map(median).collect()
    }
}

/// Lets the callers ask, and reads reports meanwhile.
fn phase(gateway: &Gateway) -> Result<(Others, Vec<Answered>)> {
    let load = Load { callers: CALLERS, lasting: LASTING, fresh_connections: false };
    let listen = gateway.listen();
    let callers = thread::spawn(move || load.run(listen, &request(&[FRESH])));
    let mut others = Vec::new();
    let mut reader = gateway.caller(&[FRESH])?;
    for _ in 0..LOOKS {
        let report = serde_json::from_slice(reader.ask()?)
            .map_err(|error| Error::new(format!("read the report: {error}")))?;
        for (name, line) in lines(&report) {
            if name == "redis" {
                continue;
            }
            if line["status"] != "working" {
                return Err(Error::new(format!("{name}: {}", line["status"])));
            }
            let time = line["response_time"].as_str().and_then(|time| time.parse::<f64>().ok());
            others.push(time.unwrap_or(f64::INFINITY) * 1000.0);
        }
        thread::sleep(PAUSE);
    }
    let waits = callers.join().map_err(|_| Error::new("the callers panicked"))??;
    Ok((Others(others), waits))
}
