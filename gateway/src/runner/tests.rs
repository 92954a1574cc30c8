//! The board's promises, with checks that misbehave in every way a check can.

use std::sync::atomic::{AtomicUsize, Ordering};

use probe::{Check, Checks, Failure, Steps};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::*;
use crate::config::{Component, ConfiguredCheck};
use crate::report::{CheckResult, ComponentResult};

const SOON: Duration = Duration::from_secs(20);

/// A check whose behaviour the test chooses, and which counts what happens to it.
struct FakeCheck {
    paced: bool,
    act: watch::Sender<Act>,
    begun: AtomicUsize,
    dropped: Arc<Notify>,
}

#[derive(Clone, Copy, PartialEq)]
enum Act {
    Work,
    Fail,
    Hang,
    Panic,
    Block(Duration),
    /// Works as soon as it is told to do anything else.
    Wait,
}

impl FakeCheck {
    fn new(act: Act) -> Arc<Self> {
        Arc::new(Self::of(act, false))
    }

    /// One that must not run often.
    fn paced(act: Act) -> Arc<Self> {
        Arc::new(Self::of(act, true))
    }

    fn of(act: Act, paced: bool) -> Self {
        let dropped = Arc::new(Notify::new());
        Self { paced, act: watch::Sender::new(act), begun: AtomicUsize::new(0), dropped }
    }

    fn runs(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

/// Tells when a check is dropped before its end.
struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct Strings(Arc<FakeCheck>);

impl Check for Strings {
    fn target(&self) -> &'static str {
        "puppet:1"
    }

    fn min_interval(&self) -> Option<Duration> {
        self.0.paced.then_some(LIMITS.max_age)
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        steps.begin("ask");
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        let mut act = self.0.act.subscribe();
        let now = *act.borrow();
        match now {
            Act::Work => Ok(()),
            Act::Fail => Err(Failure::msg("ask", "wrong answer")),
            Act::Panic => panic!("a puppet's panic"),
            Act::Block(time) => {
                std::thread::sleep(time);
                Ok(())
            }
            Act::Hang => {
                let _dropped = OnDrop(self.0.dropped.clone());
                std::future::pending().await
            }
            Act::Wait => {
                drop(act.wait_for(|act| *act != Act::Wait).await);
                Ok(())
            }
        }
    }
}

const LIMITS: Limits = Limits {
    timeout: Duration::from_millis(200),
    max_age: Duration::from_mins(1),
    overdue_wait: Duration::from_millis(20),
};

fn component(name: &str, puppet: &Arc<FakeCheck>, limits: Limits) -> Component {
    let check = Arc::new(Strings(puppet.clone()));
    Component {
        name: name.to_owned(),
        checks: Checks::Single(ConfiguredCheck { check, limits }),
        identity: [0; 32],
    }
}

fn board(puppets: &[(&str, &Arc<FakeCheck>)], limits: Limits) -> Arc<Runner> {
    let components = puppets.iter().map(|(name, puppet)| component(name, puppet, limits)).collect();
    Arc::new(Runner::new(components, &ConcurrencyLimit::default(), None))
}

fn line<'a>(answered: &'a RunReport, name: &str) -> &'a CheckResult {
    let found = answered.report.components.iter().find(|(known, _)| known == name);
    match found {
        Some((_, ComponentResult::Single(line))) => line,
        _ => panic!("{name} is a single check of the report"),
    }
}

async fn status(board: &Runner, ask: RunOptions) -> String {
    line(&board.ask(ask).await, "it").status.clone()
}

const PLAIN: RunOptions = RunOptions { fresh: false, wait: None, deadline: None };
const FRESH: RunOptions = RunOptions { fresh: true, wait: None, deadline: None };
const NO_ANSWER: &str = "ask: no answer within 200ms (puppet:1)";

#[tokio::test]
async fn callers_at_the_same_time_share_one_run() {
    let puppet = FakeCheck::new(Act::Wait);
    let board = board(&[("it", &puppet)], Limits { timeout: SOON, ..LIMITS });
    let callers: Vec<_> = (0..200)
        .map(|_| {
            let board = board.clone();
            tokio::spawn(async move { status(&board, FRESH).await })
        })
        .collect();
    // Every caller has asked before the run may end.
    while Arc::strong_count(&board) < 201 || puppet.runs() == 0 {
        tokio::task::yield_now().await;
    }
    puppet.act.send_replace(Act::Work);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "working");
    }
    assert_eq!(puppet.runs(), 1);
}

#[tokio::test]
async fn a_young_answer_is_served_again_with_its_age() {
    let puppet = FakeCheck::new(Act::Work);
    let board = board(&[("it", &puppet)], LIMITS);
    assert_eq!(board.ask(PLAIN).await.report.age, None);
    assert!(board.ask(PLAIN).await.report.age.is_some());
    assert_eq!(puppet.runs(), 1);
}

#[tokio::test]
async fn a_caller_who_wants_a_fresh_answer_gets_a_run() {
    let puppet = FakeCheck::new(Act::Work);
    let board = board(&[("it", &puppet)], LIMITS);
    assert_eq!(status(&board, PLAIN).await, "working");
    puppet.act.send_replace(Act::Fail);
    assert_eq!(status(&board, PLAIN).await, "working");
    assert_eq!(status(&board, FRESH).await, "ask: wrong answer (puppet:1)");
    assert_eq!(puppet.runs(), 2);
}

#[tokio::test]
async fn nobody_has_a_paced_check_run_sooner() {
    let puppet = FakeCheck::paced(Act::Fail);
    let board = board(&[("it", &puppet)], LIMITS);
    for _ in 0..50 {
        assert_eq!(status(&board, FRESH).await, "ask: wrong answer (puppet:1)");
    }
    assert_eq!(puppet.runs(), 1);
}

#[tokio::test]
async fn a_paced_run_goes_on_when_its_last_caller_hangs_up() {
    let puppet = FakeCheck::paced(Act::Wait);
    let board = board(&[("it", &puppet)], Limits { timeout: SOON, ..LIMITS });
    let caller = tokio::spawn({
        let board = board.clone();
        async move { board.ask(PLAIN).await }
    });
    while puppet.runs() == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert!(caller.await.is_err());
    puppet.act.send_replace(Act::Work);
    assert_eq!(status(&board, FRESH).await, "working");
    assert_eq!(puppet.runs(), 1);
}

#[tokio::test]
async fn without_max_age_every_question_is_a_run() {
    let puppet = FakeCheck::new(Act::Work);
    let board = board(&[("it", &puppet)], Limits { max_age: Duration::ZERO, ..LIMITS });
    for _ in 0..100 {
        assert_eq!(board.ask(PLAIN).await.report.age, None);
    }
    assert_eq!(puppet.runs(), 100);
}

#[tokio::test]
async fn a_check_that_hangs_ends_at_its_deadline_and_names_its_step() {
    let (hanging, working) = (FakeCheck::new(Act::Hang), FakeCheck::new(Act::Work));
    let board = board(&[("it", &hanging), ("other", &working)], LIMITS);
    let answered = timeout(SOON, board.ask(PLAIN)).await.unwrap();
    assert_eq!(line(&answered, "it").status, NO_ANSWER);
    assert_eq!(line(&answered, "other").status, "working");
    assert!(line(&answered, "other").response_time < LIMITS.timeout);
}

#[tokio::test]
async fn a_silent_backend_costs_the_next_caller_a_short_wait_only_and_recovers_at_once() {
    let puppet = FakeCheck::new(Act::Hang);
    let limits = Limits { timeout: Duration::from_secs(2), max_age: Duration::ZERO, ..LIMITS };
    let board = board(&[("it", &puppet)], limits);
    let silent = "ask: no answer within 2s (puppet:1)";
    assert_eq!(status(&board, PLAIN).await, silent);
    puppet.act.send_replace(Act::Wait);
    let asked = Instant::now();
    for _ in 0..5 {
        assert_eq!(status(&board, PLAIN).await, silent);
    }
    assert!(asked.elapsed() < limits.timeout, "five short waits took {:?}", asked.elapsed());
    assert_eq!(puppet.runs(), 2, "the run goes on for whoever asks next");
    puppet.act.send_replace(Act::Work);
    assert_eq!(status(&board, PLAIN).await, "working");
}

#[tokio::test]
async fn a_check_that_panics_keeps_its_place_and_can_recover() {
    let (panicking, working) = (FakeCheck::new(Act::Panic), FakeCheck::new(Act::Work));
    // A panic that is told with its backtrace takes a while on a busy machine.
    let limits = Limits { timeout: SOON, ..LIMITS };
    let board = board(&[("it", &panicking), ("other", &working)], limits);
    let answered = board.ask(PLAIN).await;
    assert_eq!(
        line(&answered, "it").status,
        "ask: the check panicked: a puppet's panic (puppet:1)"
    );
    assert_eq!(line(&answered, "other").status, "working");
    panicking.act.send_replace(Act::Work);
    assert_eq!(status(&board, FRESH).await, "working");
}

/// More of them than the runtime has threads: none may be needed for the others.
#[tokio::test]
async fn checks_that_block_their_threads_cost_nobody_but_themselves() {
    let blocking: Vec<_> =
        (0..40).map(|_| FakeCheck::new(Act::Block(Duration::from_secs(3)))).collect();
    let working = FakeCheck::new(Act::Work);
    let mut puppets: Vec<_> = blocking.iter().map(|puppet| ("it", puppet)).collect();
    puppets.push(("other", &working));
    let board = board(&puppets, LIMITS);
    let answered = timeout(Duration::from_secs(2), board.ask(PLAIN)).await.unwrap();
    assert_eq!(line(&answered, "it").status, NO_ANSWER);
    assert_eq!(line(&answered, "other").status, "working");
    assert!(line(&answered, "other").response_time < LIMITS.timeout);
    // A machine that is only busy would have brought the threads back by then.
    let blocks = "ask: no answer within 200ms, the check blocks its thread (puppet:1)";
    while status(&board, FRESH).await != blocks {
        assert!(blocking.iter().all(|puppet| puppet.runs() == 1), "no second thread for any");
        tokio::task::yield_now().await;
    }
}

/// They share one thread, as they did nothing wrong so far.
#[test]
fn checks_that_block_one_day_cost_nobody_but_themselves_and_share_no_thread_from_then_on() {
    crate::threads::run(async {
        let turning: Vec<_> = (0..3).map(|_| FakeCheck::new(Act::Work)).collect();
        let working = FakeCheck::new(Act::Work);
        let mut puppets: Vec<_> = turning.iter().map(|puppet| ("it", puppet)).collect();
        puppets.push(("other", &working));
        let limits = Limits { timeout: LIMITS.timeout * 5, ..LIMITS };
        let board = board(&puppets, limits);
        for _ in 0..2 {
            assert_eq!(line(&board.ask(FRESH).await, "it").status, "working");
        }
        for _ in 0..2 {
            for puppet in &turning {
                puppet.act.send_replace(Act::Block(limits.timeout * 3));
            }
            let answered = timeout(SOON, board.ask(FRESH)).await.unwrap();
            assert_eq!(line(&answered, "it").status, "ask: no answer within 1s (puppet:1)");
            assert_eq!(line(&answered, "other").status, "working");
            for puppet in &turning {
                puppet.act.send_replace(Act::Fail);
            }
            while line(&board.ask(FRESH).await, "it").status.contains("no answer") {
                tokio::task::yield_now().await;
            }
        }
    })
    .unwrap();
}

#[tokio::test]
async fn a_run_ends_when_its_last_caller_hangs_up() {
    let puppet = FakeCheck::new(Act::Hang);
    let board = board(&[("it", &puppet)], Limits { timeout: SOON * 10, ..LIMITS });
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let board = board.clone();
            tokio::spawn(async move { board.ask(PLAIN).await })
        })
        .collect();
    while Arc::strong_count(&board) < 3 || puppet.runs() == 0 {
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.abort();
        assert!(caller.await.is_err());
    }
    timeout(SOON, puppet.dropped.notified()).await.expect("the check is dropped");
    puppet.act.send_replace(Act::Work);
    assert_eq!(status(&board, PLAIN).await, "working");
    assert_eq!(puppet.runs(), 2);
}

#[tokio::test]
async fn a_run_goes_on_as_long_as_somebody_waits() {
    let puppet = FakeCheck::new(Act::Wait);
    let board = board(&[("it", &puppet)], Limits { timeout: SOON, ..LIMITS });
    let (leaves, stays) = (board.clone(), board.clone());
    let leaves = tokio::spawn(async move { status(&leaves, PLAIN).await });
    let stays = tokio::spawn(async move { status(&stays, PLAIN).await });
    while puppet.runs() == 0 {
        tokio::task::yield_now().await;
    }
    leaves.abort();
    assert!(leaves.await.is_err());
    puppet.act.send_replace(Act::Work);
    assert_eq!(stays.await.unwrap(), "working");
    assert_eq!(puppet.runs(), 1);
}

#[tokio::test]
async fn a_caller_who_waits_less_is_told_so_and_the_run_goes_on() {
    let puppet = FakeCheck::new(Act::Wait);
    let board = board(&[("it", &puppet)], Limits { timeout: SOON, ..LIMITS });
    let hurried = RunOptions { fresh: false, wait: Some(Duration::ZERO), deadline: None };
    // It may take a moment to begin, and says so.
    while puppet.runs() == 0 {
        assert!(status(&board, hurried).await.contains("not finished within the 0s"));
    }
    assert_eq!(
        status(&board, hurried).await,
        "ask: not finished within the 0s that the caller waits (puppet:1)"
    );
    puppet.act.send_replace(Act::Work);
    assert_eq!(status(&board, PLAIN).await, "working");
    assert_eq!(puppet.runs(), 1, "the second caller joined the run that the first one left");
}

#[tokio::test]
async fn waiting_for_a_turn_does_not_spend_the_deadline() {
    let puppets: Vec<_> =
        (0..6).map(|_| FakeCheck::new(Act::Block(LIMITS.timeout * 3 / 10))).collect();
    let components = puppets.iter().map(|puppet| component("it", puppet, LIMITS)).collect();
    let board = Runner::new(components, &ConcurrencyLimit(Arc::new(Semaphore::new(1))), None);
    assert!(board.ask(PLAIN).await.report.all_working());
}

#[tokio::test]
async fn an_unchanged_component_keeps_its_results_on_a_new_board() {
    let (same, changed) = (FakeCheck::new(Act::Work), FakeCheck::new(Act::Work));
    let first = board(&[("it", &same), ("other", &changed)], LIMITS);
    first.ask(PLAIN).await;
    let mut components = vec![component("it", &same, LIMITS), component("other", &changed, LIMITS)];
    components[1].identity = [1; 32];
    let second = Runner::new(components, &ConcurrencyLimit::default(), Some(&first));
    second.ask(PLAIN).await;
    assert_eq!((same.runs(), changed.runs()), (1, 2));
}
