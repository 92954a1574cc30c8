//! Runs a section's checks many times with random timeouts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use probe::{DynChecks, Kind};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::panics::Panics;
use crate::{RunOutcome, checks, component, run};

/// A bound for what normally takes milliseconds, generous enough for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Runs all checks of the section `toml` concurrently, `runs` times, each time with a random timeout between the start of a run and a little after its end.
///
/// A run must succeed or time out; it may not fail. No task may panic, not even in the background. When the section is dropped, all of its tasks must end.
pub async fn cut_at_random(kind: Kind, section: &'static str, toml: String, runs: u32) {
    let (done, result) = oneshot::channel();
    // Panics are counted for each thread, so the background tasks get a runtime on a thread of their own.
    let thread = std::thread::spawn(move || {
        let panics = Panics::new();
        panics.count_on_this_thread();
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be created").block_on(cut(&kind, section, &toml, runs));
        assert_eq!(panics.count(), 0, "the number of tasks that panicked");
        // The receiver is gone if the test has failed.
        let _dropped = done.send(());
    });
    if result.await.is_err()
        && let Err(panic) = thread.join()
    {
        std::panic::resume_unwind(panic);
    }
}

async fn cut(kind: &Kind, section: &str, toml: &str, runs: u32) {
    let component = Arc::new(component(kind, section, toml));
    run_all(&component, TIMEOUT).await;
    let started = Instant::now();
    let working = run_all(&component, TIMEOUT).await;
    assert_eq!(working, checks(&component).len(), "before any run is cut");
    let longest = started.elapsed() * 5 / 4;
    for _ in 0..runs {
        run_all(&component, longest.mul_f64(rand::random())).await;
    }
    let working = run_all(&component, TIMEOUT).await;
    assert_eq!(working, checks(&component).len(), "after {runs} runs were cut");
    drop(component);
    let all_ended = async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ended = tokio::time::timeout(TIMEOUT, all_ended).await;
    assert!(
        ended.is_ok(),
        "tasks are still alive: {}",
        Handle::current().metrics().num_alive_tasks()
    );
}

/// Returns how many checks succeeded; panics if one failed.
async fn run_all(component: &DynChecks, timeout: Duration) -> usize {
    let runs = checks(component).into_iter().map(|(name, check)| async move {
        match run(&check, timeout).await {
            RunOutcome::Working => 1,
            RunOutcome::TimedOut { .. } => 0,
            RunOutcome::Failed { line, .. } => panic!("`{name}`: {line}"),
        }
    });
    join_all(runs).await.into_iter().sum()
}
