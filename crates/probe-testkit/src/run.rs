//! Builds a component from TOML and runs a check as the gateway does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use probe::config::{Diagnostics, Node};
use probe::{Checks, DynCheck, DynChecks, Failure, Kind, SharedResources, Steps};

/// How a run ended.
#[derive(Clone, Debug)]
pub enum RunOutcome {
    /// The check found its backend working.
    Working,
    /// The check found its backend not working.
    Failed {
        /// The failure as the check returned it.
        failure: Failure,
        /// The line that callers read.
        line: String,
    },
    /// The run exceeded its timeout in this step.
    TimedOut {
        /// The step that timed out; `start` if the check had begun none.
        step: &'static str,
        /// The line that callers read.
        line: String,
    },
}

impl RunOutcome {
    /// Whether the backend is working.
    pub fn is_working(&self) -> bool {
        matches!(self, Self::Working)
    }

    /// The line of a run that failed within its timeout; panics for any other outcome.
    #[track_caller]
    pub fn line(&self) -> &str {
        match self {
            Self::Failed { line, .. } => line,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    /// The step in which the run timed out; panics for any other outcome.
    #[track_caller]
    pub fn timed_out_step(&self) -> &'static str {
        match self {
            Self::TimedOut { step, .. } => step,
            other => panic!("expected a run that timed out, got {other:?}"),
        }
    }

    /// The line of a run that timed out; panics for any other outcome.
    #[track_caller]
    pub fn timed_out_line(&self) -> &str {
        match self {
            Self::TimedOut { line, .. } => line,
            other => panic!("expected a run that timed out, got {other:?}"),
        }
    }

    /// Panics unless the backend is working.
    #[track_caller]
    pub fn expect_working(&self) {
        assert!(self.is_working(), "expected a working backend, got {self:?}");
    }
}

/// Runs `check` once; a run that exceeds `timeout` is dropped.
pub async fn run(check: &Arc<dyn DynCheck>, timeout: Duration) -> RunOutcome {
    let steps = Steps::within(timeout);
    match tokio::time::timeout(timeout, check.check(&steps)).await {
        Ok(Ok(())) => RunOutcome::Working,
        Ok(Err(failure)) => {
            let line = failure.render(check.target());
            RunOutcome::Failed { failure, line }
        }
        Err(_) => {
            let line = steps.timed_out(timeout).render(check.target());
            RunOutcome::TimedOut { step: steps.current(), line }
        }
    }
}

/// Builds the section `section` from the lines `toml`, with connections of its own.
#[track_caller]
pub fn component(kind: &Kind, section: &str, toml: &str) -> DynChecks {
    component_sharing(kind, section, toml, &SharedResources::default())
}

/// Builds a section that shares its connections through `shared`.
#[track_caller]
pub fn component_sharing(
    kind: &Kind,
    section: &str,
    toml: &str,
    shared: &SharedResources,
) -> DynChecks {
    match build(kind, section, toml, shared) {
        Ok(component) => component,
        Err(lines) => panic!("`{section}` is invalid: {}", lines.join("; ")),
    }
}

/// The errors of an invalid section, each as `line: key: message`; panics if the section is valid.
///
/// The error of an unknown key comes without the list of known keys: `docs/configuration.md` is compared with that list.
#[track_caller]
pub fn diagnostics(kind: &Kind, section: &str, toml: &str) -> Vec<String> {
    match build(kind, section, toml, &SharedResources::default()) {
        Ok(component) => panic!("expected errors, got {component:?}"),
        Err(lines) => lines.iter().map(|line| without_known_keys(line).to_owned()).collect(),
    }
}

/// An error without the list of known keys that follows an unknown key.
pub fn without_known_keys(line: &str) -> &str {
    let list = line.contains(": unknown key `").then(|| line.find(", expected one of ")).flatten();
    list.map_or(line, |list| &line[..list])
}

/// The notes on a valid section, each as `line: key: message`; panics if the section is invalid.
#[track_caller]
pub fn notes(kind: &Kind, section: &str, toml: &str) -> Vec<String> {
    let diagnostics = Diagnostics::default();
    let node = Node::parse(toml).unwrap_or_else(|errors| panic!("invalid TOML: {errors:?}"));
    let shared = SharedResources::default();
    let built = kind.read(section, &node, &shared, &BTreeSet::new(), &diagnostics);
    let notes = diagnostics.take_notes().iter().map(ToString::to_string).collect();
    assert!(built.is_some(), "`{section}` is invalid: {:?}", diagnostics.into_diagnostics());
    notes
}

/// The checks of `component` with their names; the name of a single check is empty.
pub fn checks(component: &DynChecks) -> Vec<(String, Arc<dyn DynCheck>)> {
    match component {
        Checks::Single(check) => vec![(String::new(), check.clone())],
        Checks::Group(checks) => {
            checks.iter().map(|(name, check)| (name.as_str().to_owned(), check.clone())).collect()
        }
    }
}

/// Builds a section that is a single check; panics if it is a group.
#[track_caller]
pub fn single(kind: &Kind, section: &str, toml: &str) -> Arc<dyn DynCheck> {
    match component(kind, section, toml) {
        Checks::Single(check) => check,
        group @ Checks::Group(_) => panic!("expected one check, got the group {group:?}"),
    }
}

fn build(
    kind: &Kind,
    section: &str,
    toml: &str,
    shared: &SharedResources,
) -> Result<DynChecks, Vec<String>> {
    Node::parse(toml)
        .and_then(|node| kind.checks(section, &node, shared))
        .map_err(|diagnostics| diagnostics.iter().map(ToString::to_string).collect())
}
