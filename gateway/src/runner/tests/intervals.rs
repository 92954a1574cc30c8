//! Runs without a caller, which are started at the interval of their check.

use futures_util::poll;

use super::*;

const INTERVAL: Duration = Duration::from_mins(1);

/// A runner of one check with [`INTERVAL`].
fn runner(check: &Arc<FakeCheck>, max_age: Duration, previous: Option<&Runner>) -> Runner {
    let mut component = component("it", check, CheckLimits { timeout: SOON, max_age, ..LIMITS });
    let Checks::Single(configured) = &mut component.checks else { panic!("a single check") };
    configured.settings.interval = INTERVAL;
    Runner::new("tests", vec![component], &ConcurrencyLimit::default(), previous)
}

/// The time at which the check is due.
fn due(runner: &Runner) -> Instant {
    let (runs, next) = runner.start_due(Instant::now());
    assert!(runs.is_empty(), "it is not due yet");
    next.expect("it has an interval")
}

async fn run_due(runner: &Runner, at: Instant) -> Vec<String> {
    let mut statuses = Vec::new();
    for run in runner.start_due(at).0 {
        statuses.push(timeout(SOON, run.result()).await.expect("it ends").result.status);
    }
    statuses
}

#[tokio::test]
async fn a_check_runs_at_its_interval_without_a_caller() {
    let check = FakeCheck::new(Behavior::Work);
    let runner = runner(&check, Duration::ZERO, None);
    let first = due(&runner);
    assert!(first <= Instant::now() + INTERVAL);
    assert_eq!(run_due(&runner, first).await, ["working"]);
    // It has run before its first time came, so that time is still ahead.
    assert_eq!(due(&runner), first);
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn a_run_is_shared_with_callers() {
    let check = FakeCheck::new(Behavior::Wait);
    let runner = runner(&check, Duration::ZERO, None);
    let (mut started, _) = runner.start_due(due(&runner));
    check.wait_for_run().await;
    let mut caller = pin!(status(&runner, PLAIN));
    assert!(poll!(caller.as_mut()).is_pending(), "it joins the run");
    let now = Instant::now();
    let (more, next) = runner.start_due(now);
    assert!(more.is_empty() && next > Some(now), "it is not due while it runs");
    check.behavior.send_replace(Behavior::Work);
    assert_eq!(caller.await, "working");
    assert_eq!(started.pop().expect("a run").result().await.result.status, "working");
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn a_check_never_runs_more_often_than_its_max_age() {
    let check = FakeCheck::new(Behavior::Work);
    let max_age = INTERVAL * 3;
    let runner = runner(&check, max_age, None);
    let before = Instant::now();
    assert_eq!(status(&runner, PLAIN).await, "working");
    let next = due(&runner);
    assert!(next >= before + max_age, "the result of the caller counts");
}

#[tokio::test]
async fn a_run_without_any_subscriber_is_cancelled() {
    let check = FakeCheck::new(Behavior::Hang);
    let runner = runner(&check, Duration::ZERO, None);
    let (started, _) = runner.start_due(due(&runner));
    check.wait_for_run().await;
    drop(started);
    timeout(SOON, check.dropped.notified()).await.expect("the check is dropped");
}

#[tokio::test]
async fn a_changed_interval_keeps_the_results() {
    let check = FakeCheck::new(Behavior::Work);
    let without = super::runner(&[("it", &check)], LIMITS);
    assert_eq!(status(&without, PLAIN).await, "working");
    assert_eq!(without.start_due(Instant::now() + INTERVAL).1, None);
    let with = runner(&check, LIMITS.max_age, Some(&without));
    assert!(with.run(PLAIN).await.report.age.is_some());
    assert_eq!(run_due(&with, Instant::now() + INTERVAL * 2).await, ["working"]);
    assert_eq!(check.runs(), 2);
}
