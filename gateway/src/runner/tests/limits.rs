//! Reports that do not wait for all checks: `Prefer: wait` and the answer deadline.

use super::*;

const TEN_SECONDS: Duration = Duration::from_secs(10);
const AT_DEADLINE: &str = "ask: not finished within the 10s that an answer may take (fake:1)";
const AT_WAIT: &str = "ask: not finished within the 0s that the caller waits (fake:1)";

fn no_wait() -> RunOptions {
    RunOptions { fresh: false, wait: Some(Duration::ZERO), deadline: None }
}

/// An answer that has taken all of its ten seconds.
fn at_deadline() -> RunOptions {
    RunOptions { fresh: false, wait: None, deadline: Some((Instant::now(), TEN_SECONDS)) }
}

/// A runner in which a run of the check has begun and continues in the background.
async fn running(check: &Arc<FakeCheck>) -> Arc<Runner> {
    let runner = runner(&[("it", check)], CheckLimits { timeout: SOON, ..LIMITS });
    while check.runs() == 0 {
        let status = status(&runner, no_wait()).await;
        assert!(status.ends_with("not finished within the 0s that the caller waits (fake:1)"));
        yield_now().await;
    }
    runner
}

#[tokio::test]
async fn at_the_end_of_the_wait_the_report_names_the_step_and_the_run_continues() {
    let check = FakeCheck::new(Behavior::Wait);
    let runner = running(&check).await;
    assert_eq!(status(&runner, no_wait()).await, AT_WAIT);
    check.behavior.send_replace(Behavior::Work);
    assert_eq!(status(&runner, PLAIN).await, "working");
    assert_eq!(check.runs(), 1, "the second caller joined the run that the first one left");
}

#[tokio::test]
async fn at_the_deadline_the_report_names_the_step_and_the_run_continues() {
    let check = FakeCheck::new(Behavior::Wait);
    let runner = running(&check).await;
    assert_eq!(status(&runner, at_deadline()).await, AT_DEADLINE);
    check.behavior.send_replace(Behavior::Work);
    // The run ends without a caller, and the next one gets its result.
    let cached = async {
        while status(&runner, at_deadline()).await != "working" {
            yield_now().await;
        }
        runner.run(PLAIN).await.report
    };
    assert!(timeout(SOON, cached).await.unwrap().age.is_some());
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn the_earlier_of_wait_and_deadline_ends_the_report() {
    let check = FakeCheck::new(Behavior::Wait);
    let runner = running(&check).await;
    let deadline_first = RunOptions { wait: Some(SOON), ..at_deadline() };
    assert_eq!(status(&runner, deadline_first).await, AT_DEADLINE);
    let later = Some((Instant::now() + SOON, SOON));
    assert_eq!(status(&runner, RunOptions { deadline: later, ..no_wait() }).await, AT_WAIT);
    assert_eq!(check.runs(), 1);
}

#[tokio::test]
async fn a_report_at_its_deadline_keeps_its_shape() {
    let (hanging, working) = (FakeCheck::new(Behavior::Hang), FakeCheck::new(Behavior::Work));
    let limits = CheckLimits { timeout: SOON, ..LIMITS };
    let group = |name: &str| {
        let names = ["slow", "fast"].map(|name| CheckName::new(name).unwrap());
        let checks = names
            .into_iter()
            .zip([&hanging, &working].map(|check| configured(check, limits)))
            .collect();
        Component {
            name: name.to_owned(),
            kind: "fake",
            checks: Checks::Group(checks),
            identity: [0; 32],
        }
    };
    let components = vec![group("group"), component("it", &hanging, limits)];
    let runner = Runner::new("tests", components, &ConcurrencyLimit::default(), None);
    let report = runner.run(at_deadline()).await.report;
    let names: Vec<_> = report.checks().map(|(name, _)| name).collect();
    assert_eq!(names, ["group.slow", "group.fast", "it"]);
    let in_time = async {
        while statuses(&runner.run(at_deadline()).await) != [AT_DEADLINE, "working", AT_DEADLINE] {
            yield_now().await;
        }
    };
    timeout(SOON, in_time).await.expect("a check that is done has its result");
}

#[tokio::test]
async fn at_the_deadline_a_check_that_waits_for_its_turn_reports_that_step() {
    let check = FakeCheck::new(Behavior::Work);
    let limit = ConcurrencyLimit::new(1);
    let components = vec![component("it", &check, LIMITS)];
    let runner = Runner::new("tests", components, &limit, None);
    let permit = limit.try_acquire().unwrap();
    let expected = "wait for a turn: not finished within the 10s that an answer may take (fake:1)";
    let waiting = async {
        while status(&runner, at_deadline()).await != expected {
            yield_now().await;
        }
    };
    timeout(SOON, waiting).await.unwrap();
    assert_eq!((check.runs(), limit.running(), limit.waiting()), (0, 1, 1));
    drop(permit);
    assert_eq!(status(&runner, PLAIN).await, "working");
    assert_eq!(check.runs(), 1);
}

fn statuses(run: &RunReport) -> Vec<String> {
    run.report.checks().map(|(_, result)| result.status.clone()).collect()
}
