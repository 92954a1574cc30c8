//! Runs every target briefly: all kept inputs, and mutations of them.

use std::time::Duration;

use fuzz::{Limits, TARGETS, run};

/// The time for each target: about 5 s for all of them.
const DURATION: Duration = Duration::from_millis(350);

/// The processor time that one input may take in an unoptimized build.
const MAX_TIME: Duration = Duration::from_secs(1);

#[test]
fn kept_inputs_and_mutations_of_them_are_read_without_a_finding() {
    let mut findings = Vec::new();
    for target in TARGETS {
        let limits =
            Limits { duration: DURATION, seed: rand::random(), max_time: MAX_TIME, current: None };
        let outcome = run(target, &limits);
        assert!(outcome.inputs > 0, "{}: no inputs", target.name);
        findings
            .extend(outcome.findings.iter().map(|finding| format!("{}: {finding}", target.name)));
    }
    // One test runs all targets, since the memory is measured for the whole process.
    assert!(findings.is_empty(), "{findings:#?}");
}
