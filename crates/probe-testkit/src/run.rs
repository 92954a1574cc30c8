//! Building a component from a few lines of TOML, and running one check as the gateway does.

use std::sync::Arc;
use std::time::Duration;

use probe::config::Node;
use probe::{Checks, DynCheck, DynChecks, Failure, Kind, SharedResources, Steps};

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The check found its backend working.
    Working,
    /// It did not, and says why.
    Failed {
        /// The failure as the check returned it.
        failure: Failure,
        /// The line that callers read.
        line: String,
    },
    /// The deadline came first, while the check was in this step.
    Cut {
        /// The step that got no answer; `start` if none was begun.
        step: &'static str,
        /// The line that callers read.
        line: String,
    },
}

impl Outcome {
    /// Whether the backend is working.
    pub fn is_working(&self) -> bool {
        matches!(self, Self::Working)
    }

    /// The line of a failure that the check found by itself, before any deadline; fails the test if there is none.
    #[track_caller]
    pub fn line(&self) -> &str {
        match self {
            Self::Failed { line, .. } => line,
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    /// The step that a deadline cut; fails the test if there is none.
    #[track_caller]
    pub fn cut_step(&self) -> &'static str {
        match self {
            Self::Cut { step, .. } => step,
            other => panic!("expected a run that was cut by its deadline, got {other:?}"),
        }
    }

    /// The line of a run that its deadline cut; fails the test if it was not.
    #[track_caller]
    pub fn cut_line(&self) -> &str {
        match self {
            Self::Cut { line, .. } => line,
            other => panic!("expected a run that was cut by its deadline, got {other:?}"),
        }
    }

    /// Fails the test unless the backend is working.
    #[track_caller]
    pub fn expect_working(&self) {
        assert!(self.is_working(), "expected a working backend, got {self:?}");
    }
}

/// Runs `check` once; a run that takes longer than `deadline` is dropped where it stands.
pub async fn run(check: &Arc<dyn DynCheck>, deadline: Duration) -> Outcome {
    let steps = Steps::new();
    match tokio::time::timeout(deadline, check.check(&steps)).await {
        Ok(Ok(())) => Outcome::Working,
        Ok(Err(failure)) => {
            let line = failure.render(check.target());
            Outcome::Failed { failure, line }
        }
        Err(_) => {
            let line = steps.timed_out(deadline).render(check.target());
            Outcome::Cut { step: steps.current(), line }
        }
    }
}

/// The section `section` with the lines `toml`, as a component with connections of its own.
#[track_caller]
pub fn component(kind: &Kind, section: &str, toml: &str) -> DynChecks {
    component_sharing(kind, section, toml, &SharedResources::default())
}

/// The same beside others with which it shares what lies in `shared`.
#[track_caller]
pub fn component_sharing(
    kind: &Kind,
    section: &str,
    toml: &str,
    shared: &SharedResources,
) -> DynChecks {
    match build(kind, section, toml, shared) {
        Ok(component) => component,
        Err(lines) => panic!("`{section}` is not right: {}", lines.join("; ")),
    }
}

/// What is wrong with the section, each mistake as `line: key: message`; fails the test if nothing is.
#[track_caller]
pub fn diagnostics(kind: &Kind, section: &str, toml: &str) -> Vec<String> {
    match build(kind, section, toml, &SharedResources::default()) {
        Ok(component) => panic!("expected mistakes, got {component:?}"),
        Err(lines) => lines,
    }
}

/// The checks of `component` with their names; a single check's name is empty.
pub fn checks(component: &DynChecks) -> Vec<(String, Arc<dyn DynCheck>)> {
    match component {
        Checks::Single(check) => vec![(String::new(), check.clone())],
        Checks::Group(checks) => {
            checks.iter().map(|(name, check)| (name.as_str().to_owned(), check.clone())).collect()
        }
    }
}

/// The one check of the section `section` with the lines `toml`.
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
