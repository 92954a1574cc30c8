//! Each probe with a flaw fails at the promise that the flaw breaks.

use probe::Kind;
use probe_testkit::promises;

use crate::toy::{Flaw, Server, build};

/// Asserts that the suite's panic for the toy with `flaw` names the promise `expected`.
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
async fn a_probe_that_builds_nothing_is_caught() {
    breaks!(BuildsNothing, "building performs no I/O: building returned nothing");
}

#[tokio::test]
async fn a_probe_that_connects_in_build_is_caught() {
    breaks!(ConnectsInBuild, "building performs no I/O: it connected to the backend");
}

#[tokio::test]
async fn a_probe_that_sends_nothing_is_caught() {
    breaks!(SendsNothing, "checks of a working backend succeed: it succeeds without a connection");
}

#[tokio::test]
async fn a_target_of_two_lines_is_caught() {
    breaks!(TargetOfTwoLines, "checks of a working backend succeed: `toy` has the target `two");
}

#[tokio::test]
async fn a_probe_that_never_recovers_is_caught() {
    breaks!(
        NeverRecovers,
        "checks fail while the backend is down and succeed once it is up: after the port was opened again"
    );
}

#[tokio::test]
async fn a_step_in_capitals_is_caught() {
    breaks!(
        StepInCapitals,
        "a failure is one line: a step, a cause and the target: a step that is"
    );
}

#[tokio::test]
async fn a_wait_outside_a_step_is_caught() {
    breaks!(NoStep, "a check waits only within a step: `toy` timed out before its first step");
}

#[tokio::test]
async fn a_probe_with_its_own_timeout_is_caught() {
    breaks!(
        OwnTimeout,
        "checks of a silent backend wait and succeed once it answers: silent and never connected before"
    );
}

#[tokio::test]
async fn a_probe_that_waits_for_a_silent_connection_is_caught() {
    breaks!(
        WaitsForSilentConnections,
        "a reused connection that is silent fails no check: with a forgotten connection"
    );
}

#[tokio::test]
async fn a_probe_that_does_not_replace_a_lost_connection_is_caught() {
    breaks!(NoRetry, "the first run after a restart succeeds: right after a restart");
}

#[tokio::test]
async fn a_probe_that_panics_is_caught() {
    breaks!(PanicsOnPartialAnswers, "the first run after a restart succeeds: `toy` panicked");
}

#[tokio::test]
async fn a_panic_in_the_background_is_caught() {
    breaks!(PanicsInTheBackground, "the first run after a restart succeeds: 1");
}

#[tokio::test]
async fn a_half_read_connection_is_caught() {
    breaks!(ReusesHalfReadConnections, "a run that is dropped does not affect the next one: ");
}

#[tokio::test]
async fn a_connection_per_check_is_caught() {
    breaks!(ConnectionPerCheck, "checks share their connections: 20 runs opened more than 1");
}

#[tokio::test]
async fn a_connection_shared_across_credentials_is_caught() {
    breaks!(
        SharesAcrossCredentials,
        "different credentials never share a connection: with a wrong secret"
    );
}

#[tokio::test]
async fn a_probe_that_accepts_any_answer_is_caught() {
    breaks!(
        AcceptsAnyAnswer,
        "a hostile answer ends a check and nothing else: answered with Hostile("
    );
}

#[tokio::test]
async fn a_setting_that_accepts_anything_is_caught() {
    breaks!(AcceptsAnything, "every error in a table is reported with its line: a wrong `word`");
}

#[tokio::test]
async fn a_secret_in_a_failure_is_caught() {
    breaks!(SecretInFailure, "no output contains a secret: it printed");
}

#[tokio::test]
async fn a_secret_in_a_target_is_caught() {
    breaks!(SecretInTarget, "no output contains a secret: it printed");
}
