//! The runner with checks that misbehave in every way a check can.

mod fake_check;
mod intervals;
mod limits;
mod shared;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use probe::{CheckName, Checks};
use tokio::time::timeout;

use self::fake_check::{Behavior, FakeCheck};
use super::*;
use crate::config::{CheckLimits, CheckSettings, Component, ConfiguredCheck, ShareSetting};
use crate::report::{CheckResult, ComponentResult};

const SOON: Duration = Duration::from_secs(20);

const LIMITS: CheckLimits = CheckLimits {
    timeout: Duration::from_millis(200),
    max_age: Duration::from_mins(1),
    overdue_wait: Duration::from_millis(20),
};

fn configured(check: &Arc<FakeCheck>, limits: CheckLimits) -> ConfiguredCheck {
    let settings = CheckSettings {
        limits,
        interval: Duration::ZERO,
        severity: Severity::Critical,
        maintenance_until: None,
        share: ShareSetting::default(),
    };
    ConfiguredCheck { check: check.clone(), settings }
}

fn component(name: &str, check: &Arc<FakeCheck>, limits: CheckLimits) -> Component {
    Component {
        name: name.to_owned(),
        kind: "fake",
        checks: Checks::Single(configured(check, limits)),
        identity: [0; 32],
    }
}

fn runner(checks: &[(&str, &Arc<FakeCheck>)], limits: CheckLimits) -> Arc<Runner> {
    let components = checks.iter().map(|(name, check)| component(name, check, limits)).collect();
    Arc::new(Runner::new("tests", components, &ConcurrencyLimit::default(), None))
}

fn result<'a>(run: &'a RunReport, name: &str) -> &'a CheckResult {
    let component = run.report.components.iter().find(|(known, _)| known == name);
    match component {
        Some((_, ComponentResult::Single(result))) => result,
        _ => panic!("{name} is a single check of the report"),
    }
}

async fn status(runner: &Runner, options: RunOptions) -> String {
    result(&runner.run(options).await, "it").status.clone()
}

const PLAIN: RunOptions = RunOptions { fresh: false, wait: None, deadline: None };
const FRESH: RunOptions = RunOptions { fresh: true, wait: None, deadline: None };
const NO_ANSWER: &str = "ask: no answer within 200ms (fake:1)";

#[tokio::test]
async fn callers_at_the_same_time_share_one_run() {
    let check = FakeCheck::new(Behavior::Wait);
    let runner = runner(&[("it", &check)], CheckLimits { timeout: SOON, ..LIMITS });
    let callers: Vec<_> = (0..200)
        .map(|_| {
            let runner = runner.clone();
            tokio::spawn(async move { status(&runner, FRESH).await })
        })
        .collect();
    // All callers have joined the run before it can end.
    while Arc::strong_count(&runner) < 201 || check.runs() == 0 {
        yield_now().await;
    }
    check.behavior.send_replace(Behavior::Work);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "working");
    }
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn a_result_is_served_again_with_its_age_until_it_expires() {
    let check = FakeCheck::new(Behavior::Work);
    let runner = runner(&[("it", &check)], LIMITS);
    assert_eq!(runner.run(PLAIN).await.report.age, None);
    assert!(runner.run(PLAIN).await.report.age.is_some());
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn a_fresh_report_runs_every_check() {
    let check = FakeCheck::new(Behavior::Work);
    let runner = runner(&[("it", &check)], LIMITS);
    assert_eq!(status(&runner, PLAIN).await, "working");
    check.behavior.send_replace(Behavior::Fail);
    assert_eq!(status(&runner, PLAIN).await, "working");
    assert_eq!(status(&runner, FRESH).await, "ask: wrong answer (fake:1)");
    assert_eq!(check.runs(), 2);
}

#[tokio::test]
async fn a_rate_limited_check_is_not_run_sooner_for_a_fresh_report() {
    let check = FakeCheck::rate_limited(Behavior::Fail);
    let runner = runner(&[("it", &check)], LIMITS);
    for _ in 0..50 {
        assert_eq!(status(&runner, FRESH).await, "ask: wrong answer (fake:1)");
    }
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn a_rate_limited_run_continues_without_callers() {
    let check = FakeCheck::rate_limited(Behavior::Wait);
    let runner = runner(&[("it", &check)], CheckLimits { timeout: SOON, ..LIMITS });
    let caller = tokio::spawn({
        let runner = runner.clone();
        async move { runner.run(PLAIN).await }
    });
    check.wait_for_run().await;
    caller.abort();
    assert!(caller.await.is_err());
    check.behavior.send_replace(Behavior::Work);
    assert_eq!(status(&runner, FRESH).await, "working");
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn without_max_age_every_request_starts_a_run() {
    let check = FakeCheck::new(Behavior::Work);
    let runner = runner(&[("it", &check)], CheckLimits { max_age: Duration::ZERO, ..LIMITS });
    for _ in 0..100 {
        assert_eq!(runner.run(PLAIN).await.report.age, None);
    }
    assert_eq!(check.runs(), 100);
}

#[tokio::test]
async fn a_check_that_hangs_times_out_and_names_its_step() {
    let (hanging, working) = (FakeCheck::new(Behavior::Hang), FakeCheck::new(Behavior::Work));
    let runner = runner(&[("it", &hanging), ("other", &working)], LIMITS);
    let run = timeout(SOON, runner.run(PLAIN)).await.unwrap();
    assert_eq!(result(&run, "it").status, NO_ANSWER);
    assert_eq!(result(&run, "other").status, "working");
    assert!(result(&run, "other").response_time < LIMITS.timeout);
}

#[tokio::test]
async fn after_a_timeout_the_next_callers_wait_only_briefly_and_get_a_recovery_at_once() {
    let check = FakeCheck::new(Behavior::Hang);
    let limits = CheckLimits { timeout: Duration::from_secs(2), max_age: Duration::ZERO, ..LIMITS };
    let runner = runner(&[("it", &check)], limits);
    let silent = "ask: no answer within 2s (fake:1)";
    assert_eq!(status(&runner, PLAIN).await, silent);
    check.behavior.send_replace(Behavior::Wait);
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(status(&runner, PLAIN).await, silent);
    }
    assert!(begun.elapsed() < limits.timeout, "five short waits took {:?}", begun.elapsed());
    assert_eq!(check.runs(), 2, "one run continues for all of them");
    check.behavior.send_replace(Behavior::Work);
    assert_eq!(status(&runner, PLAIN).await, "working");
}

#[tokio::test]
async fn a_check_that_panics_stays_in_the_report_and_can_recover() {
    let (panicking, working) = (FakeCheck::new(Behavior::Panic), FakeCheck::new(Behavior::Work));
    // Printing the backtrace of a panic takes a while on a busy machine.
    let limits = CheckLimits { timeout: SOON, ..LIMITS };
    let runner = runner(&[("it", &panicking), ("other", &working)], limits);
    let run = runner.run(PLAIN).await;
    assert_eq!(result(&run, "it").status, "ask: the check panicked: a panic of the test (fake:1)");
    assert_eq!(result(&run, "other").status, "working");
    panicking.behavior.send_replace(Behavior::Work);
    assert_eq!(status(&runner, FRESH).await, "working");
}

/// There are more of them than the runtime has workers.
#[tokio::test]
async fn checks_that_block_on_their_first_run_delay_no_other_check() {
    let blocking: Vec<_> =
        (0..40).map(|_| FakeCheck::new(Behavior::Block(Duration::from_secs(3)))).collect();
    let working = FakeCheck::new(Behavior::Work);
    let mut checks: Vec<_> = blocking.iter().map(|check| ("it", check)).collect();
    checks.push(("other", &working));
    let runner = runner(&checks, LIMITS);
    let run = timeout(Duration::from_secs(2), runner.run(PLAIN)).await.unwrap();
    assert_eq!(result(&run, "it").status, NO_ANSWER);
    assert_eq!(result(&run, "other").status, "working");
    assert!(result(&run, "other").response_time < LIMITS.timeout);
    // They block for longer than it takes to distinguish a blocked thread from a busy machine.
    let blocks = "ask: no answer within 200ms, the check blocks its thread (fake:1)";
    while status(&runner, FRESH).await != blocks {
        assert!(blocking.iter().all(|check| check.runs() == 1), "none is started twice");
        yield_now().await;
    }
}

/// A caller that disconnects as soon as the check has begun this many runs.
async fn leave(runner: &Arc<Runner>, check: &FakeCheck, runs: usize) {
    let caller = pin!(status(runner, FRESH));
    let begun = pin!(async {
        while check.runs() < runs {
            yield_now().await;
        }
    });
    assert!(matches!(select(caller, begun).await, Either::Right(_)), "the check blocks");
}

#[tokio::test]
async fn a_check_that_blocks_is_not_started_again_when_its_callers_disconnect() {
    let (check, limit) =
        (FakeCheck::new(Behavior::Block(Duration::from_secs(3))), ConcurrencyLimit::default());
    let limits = CheckLimits { timeout: Duration::from_secs(1), ..LIMITS };
    let runner = Runner::new("tests", vec![component("it", &check, limits)], &limit, None);
    let runner = Arc::new(runner);
    for _ in 0..20 {
        leave(&runner, &check, 1).await;
    }
    // Callers that stay get the outcomes of the only run.
    assert_eq!(status(&runner, FRESH).await, "ask: no answer within 1s (fake:1)");
    assert_eq!((check.runs(), limit.running()), (1, 1));
    let blocks = "ask: no answer within 1s, the check blocks its thread (fake:1)";
    while status(&runner, FRESH).await != blocks {
        yield_now().await;
    }
    assert_eq!((check.runs(), limit.running()), (1, 1));
    check.behavior.send_replace(Behavior::Work);
    let recovered = async {
        while status(&runner, FRESH).await != "working" {
            yield_now().await;
        }
    };
    timeout(SOON, recovered).await.expect("it is started again");
    assert_eq!(check.runs(), 2);
}

#[test]
fn a_check_that_begins_to_block_is_not_started_again_when_its_callers_disconnect() {
    crate::runtime::run(async {
        let check = FakeCheck::new(Behavior::Work);
        let limits = CheckLimits { timeout: Duration::from_secs(1), ..LIMITS };
        let runner = runner(&[("it", &check)], limits);
        assert_eq!(status(&runner, FRESH).await, "working");
        check.behavior.send_replace(Behavior::Block(Duration::from_secs(2)));
        // It blocks a worker, of which there are fewer than callers.
        for _ in 0..20 {
            leave(&runner, &check, 2).await;
        }
        assert_eq!(status(&runner, FRESH).await, "ask: no answer within 1s (fake:1)");
        assert_eq!(check.runs(), 2);
    })
    .unwrap();
}

#[test]
fn checks_that_begin_to_block_delay_no_other_check() {
    assert_checks_that_begin_to_block_delay_no_others(1);
}

#[test]
fn checks_that_begin_to_block_while_others_are_started_delay_none_of_them() {
    assert_checks_that_begin_to_block_delay_no_others(BATCH * 3);
}

/// Until then they run on the workers of the runtime.
fn assert_checks_that_begin_to_block_delay_no_others(others: usize) {
    crate::runtime::run(async {
        let turning: Vec<_> = (0..3).map(|_| FakeCheck::new(Behavior::Work)).collect();
        let working: Vec<_> = (0..others).map(|_| FakeCheck::new(Behavior::Work)).collect();
        let mut checks: Vec<_> = turning.iter().map(|check| ("it", check)).collect();
        checks.extend(working.iter().map(|check| ("other", check)));
        let limits = CheckLimits { timeout: LIMITS.timeout * 5, ..LIMITS };
        let runner = runner(&checks, limits);
        for _ in 0..2 {
            assert_eq!(result(&runner.run(FRESH).await, "it").status, "working");
        }
        for _ in 0..2 {
            for check in &turning {
                check.behavior.send_replace(Behavior::Block(limits.timeout * 4));
            }
            // On a worker, as the tasks of connections are.
            let reporting = runner.clone();
            let reporting = tokio::spawn(async move { reporting.run(FRESH).await });
            let run = timeout(limits.timeout * 3, reporting).await.unwrap().unwrap();
            assert_eq!(result(&run, "it").status, "ask: no answer within 1s (fake:1)");
            assert_eq!(result(&run, "other").status, "working");
            for check in &turning {
                check.behavior.send_replace(Behavior::Fail);
            }
            while result(&runner.run(FRESH).await, "it").status.contains("no answer") {
                yield_now().await;
            }
        }
    })
    .unwrap();
}

#[tokio::test]
async fn the_results_of_hundreds_of_checks_are_in_the_order_of_the_checks() {
    let names: Vec<_> = (0..=BATCH * 2).map(|number| format!("check-{number}")).collect();
    let fails = |number: usize| number.is_multiple_of(7);
    let checks: Vec<_> = (0..names.len())
        .map(|number| FakeCheck::new(if fails(number) { Behavior::Fail } else { Behavior::Work }))
        .collect();
    let named: Vec<_> = names.iter().map(String::as_str).zip(&checks).collect();
    let runner = runner(&named, CheckLimits { timeout: SOON, ..LIMITS });
    let run = runner.run(FRESH).await;
    let reported: Vec<_> = run.report.components.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(reported, names);
    for (number, name) in names.iter().enumerate() {
        assert_eq!(result(&run, name).status != "working", fails(number), "{name}");
    }
}

#[tokio::test]
async fn a_run_is_cancelled_when_its_last_caller_disconnects() {
    let check = FakeCheck::new(Behavior::Hang);
    let runner = runner(&[("it", &check)], CheckLimits { timeout: SOON * 10, ..LIMITS });
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let runner = runner.clone();
            tokio::spawn(async move { runner.run(PLAIN).await })
        })
        .collect();
    while Arc::strong_count(&runner) < 3 || check.runs() == 0 {
        yield_now().await;
    }
    for caller in callers {
        caller.abort();
        assert!(caller.await.is_err());
    }
    timeout(SOON, check.dropped.notified()).await.expect("the check is dropped");
    check.behavior.send_replace(Behavior::Work);
    assert_eq!(status(&runner, PLAIN).await, "working");
    assert_eq!(check.runs(), 2);
}

#[tokio::test]
async fn a_run_continues_while_one_caller_waits() {
    let check = FakeCheck::new(Behavior::Wait);
    let runner = runner(&[("it", &check)], CheckLimits { timeout: SOON, ..LIMITS });
    let (leaving, staying) = (runner.clone(), runner.clone());
    let leaving = tokio::spawn(async move { status(&leaving, PLAIN).await });
    let staying = tokio::spawn(async move { status(&staying, PLAIN).await });
    check.wait_for_run().await;
    leaving.abort();
    assert!(leaving.await.is_err());
    check.behavior.send_replace(Behavior::Work);
    assert_eq!(staying.await.unwrap(), "working");
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn the_timeout_does_not_count_the_wait_for_a_turn() {
    let checks: Vec<_> =
        (0..6).map(|_| FakeCheck::new(Behavior::Block(LIMITS.timeout * 3 / 10))).collect();
    let components = checks.iter().map(|check| component("it", check, LIMITS)).collect();
    let limit = ConcurrencyLimit::new(1);
    let runner = Runner::new("tests", components, &limit, None);
    assert!(runner.run(PLAIN).await.report.all_working());
}

#[tokio::test]
async fn an_unchanged_component_keeps_its_results_in_a_new_runner() {
    let (same, changed) = (FakeCheck::new(Behavior::Work), FakeCheck::new(Behavior::Work));
    let first = runner(&[("it", &same), ("other", &changed)], LIMITS);
    first.run(PLAIN).await;
    let mut components = vec![component("it", &same, LIMITS), component("other", &changed, LIMITS)];
    components[1].identity = [1; 32];
    let second = Runner::new("tests", components, &ConcurrencyLimit::default(), Some(&first));
    second.run(PLAIN).await;
    assert_eq!((same.runs(), changed.runs()), (1, 2));
}

#[tokio::test]
async fn a_check_of_a_new_configuration_continues_the_history_of_its_name() {
    let (before, after) = (FakeCheck::new(Behavior::Fail), FakeCheck::new(Behavior::Work));
    let first = runner(&[("it", &before)], LIMITS);
    first.run(PLAIN).await;
    let mut components = vec![component("it", &after, LIMITS), component("new", &after, LIMITS)];
    components[0].identity = [1; 32];
    let second = Runner::new("tests", components, &ConcurrencyLimit::default(), Some(&first));
    second.run(PLAIN).await;
    // The outcome of a run that began before belongs to neither.
    first.run(FRESH).await;
    let history =
        |runner: &Runner, at: usize| runner.overview(SystemTime::now())[at].history.clone();
    assert!(history(&first, 0).is_none());
    assert!(history(&second, 1).expect("a history").changes().next().is_none());
    let lines: Vec<_> = history(&second, 0)
        .expect("a history")
        .changes()
        .map(|change| change.line.as_deref().map(ToOwned::to_owned))
        .collect();
    assert_eq!(lines, [None, Some("ask: wrong answer (fake:1)".to_owned())]);
}

#[tokio::test]
async fn only_a_critical_failure_outside_of_maintenance_counts() {
    let check = FakeCheck::new(Behavior::Fail);
    let in_an_hour = SystemTime::now() + Duration::from_hours(1);
    for (severity, maintenance_until, expected) in [
        (Severity::Critical, None, true),
        (Severity::Warning, None, false),
        (Severity::Critical, Some(in_an_hour), false),
        (Severity::Critical, Some(SystemTime::UNIX_EPOCH), true),
    ] {
        let mut component = component("it", &check, LIMITS);
        let Checks::Single(configured) = &mut component.checks else { panic!("a single check") };
        configured.settings.severity = severity;
        configured.settings.maintenance_until = maintenance_until;
        let runner = Runner::new("tests", vec![component], &ConcurrencyLimit::default(), None);
        for age in ["fresh", "cached"] {
            let report = runner.run(PLAIN).await.report;
            assert!(!report.all_working());
            assert_eq!(report.has_critical_failure, expected, "{age}: {severity:?}");
        }
    }
}
