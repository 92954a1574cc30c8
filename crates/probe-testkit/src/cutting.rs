//! Many runs, each cut off at a point of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use probe::{DynChecks, Kind};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::panics::Panics;
use crate::{Outcome, checks, component, run};

/// A bound for what takes no time to speak of, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs every check of the section `toml` so many times at once with the others, each time with a deadline that comes anywhere between its beginning and a little after its end.
///
/// No run may fail, since it either ends well or is cut; nothing may panic, not even in the background; and when the section is dropped, none of its tasks may be left.
pub async fn cut_at_random(kind: Kind, section: &'static str, toml: String, runs: u32) {
    let (done, result) = oneshot::channel();
    // A thread of its own, on which panics are counted: the tasks in the background run nowhere else.
    let thread = std::thread::spawn(move || {
        let panics = Panics::new();
        panics.count_on_this_thread();
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(cut(&kind, section, &toml, runs));
        assert_eq!(panics.count(), 0, "so many tasks panicked");
        // Whoever waited may be gone, when its test has failed.
        let _nobody_waits = done.send(());
    });
    if result.await.is_err()
        && let Err(broken) = thread.join()
    {
        std::panic::resume_unwind(broken);
    }
}

async fn cut(kind: &Kind, section: &str, toml: &str, runs: u32) {
    let component = Arc::new(component(kind, section, toml));
    run_all(&component, PATIENCE).await;
    let begun = Instant::now();
    let all_work = run_all(&component, PATIENCE).await;
    assert_eq!(all_work, checks(&component).len(), "before any run is cut");
    let longest = begun.elapsed() * 5 / 4;
    for _ in 0..runs {
        run_all(&component, longest.mul_f64(rand::random())).await;
    }
    let all_work = run_all(&component, PATIENCE).await;
    assert_eq!(all_work, checks(&component).len(), "after {runs} runs were cut");
    drop(component);
    let all_ended = async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, all_ended).await;
    assert!(ended.is_ok(), "tasks are left: {}", Handle::current().metrics().num_alive_tasks());
}

/// How many of the checks work, of which none fails.
async fn run_all(component: &DynChecks, deadline: Duration) -> usize {
    let runs = checks(component).into_iter().map(|(name, check)| async move {
        match run(&check, deadline).await {
            Outcome::Working => 1,
            Outcome::Cut { .. } => 0,
            Outcome::Failed { line, .. } => panic!("`{name}`: {line}"),
        }
    });
    join_all(runs).await.into_iter().sum()
}
