//! Each probe with a flaw fails at the promise that the flaw breaks.

use probe::Kind;
use probe_testkit::promises;

use crate::toy::{Flaw, Server, build};

/// The suite's verdict on the toy with `flaw` begins as `expected`.
macro_rules! breaks {
    ($flaw:ident, $expected:literal) => {{
        let kind = Kind { name: "toy", build: |section| build(section, Flaw::$flaw) };
        check(kind, $expected).await;
    }};
}

async fn check(kind: Kind, expected: &str) {
    let server = Server::start().await;
    let subject = server.subject(kind);
    let panic = tokio::spawn(promises(subject)).await.unwrap_err().into_panic();
    let message = *panic.downcast::<String>().unwrap();
    let expected = format!("`toy` breaks the promise that {expected}");
    assert!(message.starts_with(&expected), "{message}\n instead of\n{expected}");
}

#[tokio::test]
async fn a_probe_that_connects_in_build_is_caught() {
    breaks!(ConnectsInBuild, "building performs no I/O: the backend was connected to");
}

#[tokio::test]
async fn a_probe_that_asks_nothing_is_caught() {
    breaks!(AsksNothing, "a working backend is seen to work: it works without a connection");
}

#[tokio::test]
async fn a_target_of_two_lines_is_caught() {
    breaks!(TargetOfTwoLines, "a working backend is seen to work: `toy` has the target `two");
}

#[tokio::test]
async fn a_probe_that_never_recovers_is_caught() {
    breaks!(
        NeverRecovers,
        "a backend that is down is seen, and seen to come back: after the port was opened again"
    );
}

#[tokio::test]
async fn a_step_with_a_capital_is_caught() {
    breaks!(ShoutedStep, "a failure is one line: a step, a cause and the target: a step that is");
}

#[tokio::test]
async fn a_wait_outside_of_any_step_is_caught() {
    breaks!(NoStep, "every wait belongs to a step: `toy` was cut by its deadline before");
}

#[tokio::test]
async fn a_timeout_of_its_own_is_caught() {
    breaks!(
        TimeoutOfItsOwn,
        "a silent backend is seen, and seen to come back: silent and never connected before"
    );
}

#[tokio::test]
async fn a_probe_that_gives_a_lost_connection_no_second_chance_is_caught() {
    breaks!(NoRetry, "a restart of the backend is no alarm: right after a restart");
}

#[tokio::test]
async fn a_probe_that_panics_is_caught() {
    breaks!(PanicsOnOddAnswers, "a restart of the backend is no alarm: `toy` panicked");
}

#[tokio::test]
async fn a_panic_in_the_background_is_caught() {
    breaks!(PanicsInTheBackground, "a restart of the backend is no alarm: 1");
}

#[tokio::test]
async fn a_half_read_connection_is_caught() {
    breaks!(ReusesHalfReadConnections, "a run dropped halfway leaves nothing to the next: ");
}

#[tokio::test]
async fn a_connection_per_check_is_caught() {
    breaks!(ConnectionPerCheck, "there is no connection per check: 20 runs opened more than 1");
}

#[tokio::test]
async fn a_borrowed_connection_is_caught() {
    breaks!(BorrowsConnections, "other credentials are another connection: with a wrong secret");
}

#[tokio::test]
async fn a_setting_that_takes_anything_is_caught() {
    breaks!(TakesAnything, "every mistake in a table is told with its place: a wrong `word`");
}

#[tokio::test]
async fn a_secret_in_a_failure_is_caught() {
    breaks!(SecretInFailure, "nothing it says holds a secret: it said");
}

#[tokio::test]
async fn a_secret_in_a_target_is_caught() {
    breaks!(SecretInTarget, "nothing it says holds a secret: it said");
}
