//! Ten thousand runs while connections are refused, held and cut at random: what is left over afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::backends::Tapped;
use crate::error::Result;
use crate::figure::{Bound, Figure};
use crate::gateway::Gateway;
use crate::http::caller::lines;
use crate::measure::{Measured, number};
use crate::proc;
use crate::rows::Bench;
use crate::tap::Mode;

const RUNS: usize = 10_000;
/// If the runs take longer than that, there are fewer of them, and the figure says how many.
const PATIENCE: Duration = Duration::from_secs(75);
/// Longer than a thread without work is kept, and than anything that was given up takes to end.
const SETTLING: Duration = Duration::from_secs(45);
/// So long a fault lasts at most, in milliseconds, and so long it is quiet at most.
const LONGEST: u64 = 20;

/// Short deadlines, so that ten thousand runs with silent backends do not take hours.
const SETTINGS: &str = "timeout = \"50ms\"\noverdue_wait = \"2ms\"";

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let tapped = Tapped::new()?;
    let gateway = Gateway::start(bench.gateway(), SETTINGS, &tapped.backends().sections())?;
    let pid = gateway.pid()?;
    // Nobody keeps a connection while it settles: one that is idle for long is closed.
    drop(gateway.fresh_caller()?);
    let before = settled(pid, None)?;

    let mut caller = gateway.fresh_caller()?;
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    let (runs, failed) = thread::scope(|scope| {
        scope.spawn(|| disturb(&tapped, &over));
        let (mut runs, mut failed) = (0, 0);
        let asked = (|| {
            while runs < RUNS && begun.elapsed() < PATIENCE {
                let report = serde_json::from_slice(caller.ask()?).unwrap_or_default();
                let lines = lines(&report);
                failed += lines.iter().filter(|(_, line)| line["status"] != "working").count();
                runs += 1;
            }
            Ok(())
        })();
        over.store(true, Ordering::Relaxed);
        asked.map(|()| (runs, failed))
    })?;
    let seconds = begun.elapsed().as_secs();
    healed(|| caller.report().map(drop))?;
    drop(caller);
    let after = settled(pid, Some(&before))?;
    let left = |after: usize, before: usize| Measured::counted(number(after) - number(before));
    Ok(vec![
        Figure {
            name: format!("open files more than before, after {runs} runs with random faults"),
            measured: left(after.files, before.files),
            unit: "",
            bound: Bound::AtMost(0.0),
            detail: format!(
                "{} before, {} after; {failed} checks failed meanwhile, in {seconds} s",
                before.files, after.files
            ),
        },
        Figure {
            name: "threads, the same".to_owned(),
            measured: left(after.threads, before.threads),
            unit: "",
            bound: Bound::AtMost(0.0),
            detail: format!("{} before, {} after", before.threads, after.threads),
        },
    ])
}

/// Refuses, holds and cuts the connections of one backend after the other until it is over, always in the same order.
fn disturb(tapped: &Tapped, over: &AtomicBool) {
    let taps: Vec<_> = tapped.taps().collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let count = u64::try_from(taps.len()).unwrap_or(1);
    while !over.load(Ordering::Relaxed) {
        let at = usize::try_from(next(count)).unwrap_or_default();
        let tap = taps[at];
        match next(4) {
            0 => tap.cut(),
            1 => tap.set(Mode::Hold),
            2 => tap.set(Mode::Refuse),
            _ => {
                tap.set(Mode::Refuse);
                tap.cut();
            }
        }
        thread::sleep(Duration::from_millis(next(LONGEST)));
        tap.set(Mode::Pass);
        thread::sleep(Duration::from_millis(next(LONGEST)));
    }
    for tap in taps {
        tap.set(Mode::Pass);
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    files: usize,
    threads: usize,
}

/// What it holds once that does not change any more, or is as it was.
fn settled(pid: i32, before: Option<&Held>) -> Result<Held> {
    let begun = Instant::now();
    let mut last = (held(pid)?, Instant::now());
    loop {
        thread::sleep(Duration::from_millis(100));
        let now = held(pid)?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        let quiet = last.1.elapsed() > QUIET;
        if before == Some(&now) || before.is_none() && quiet || begun.elapsed() > SETTLING {
            return Ok(now);
        }
    }
}

/// Longer than a thread without work is kept.
const QUIET: Duration = Duration::from_secs(12);

fn held(pid: i32) -> Result<Held> {
    let threads = usize::try_from(proc::threads(pid)?).unwrap_or_default();
    Ok(Held { files: proc::open_files(pid)?, threads })
}

/// Asks until everything works again, which must be soon.
fn healed(mut ask: impl FnMut() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    loop {
        match ask() {
            Err(_) if begun.elapsed() < QUIET => thread::sleep(Duration::from_millis(100)),
            done => return done,
        }
    }
}
