//! The reports of all namespaces, with the state of each check.

use std::time::Duration;

use futures_util::future::join_all;
use serde::{Serialize, Serializer};

use super::to_json;
use crate::config::Severity;
use crate::namespace::{Namespace, NamespaceSample};
use crate::namespaces::Namespaces;
use crate::report::{CheckResult, Report};
use crate::runner::{CheckSample, RunOptions};

/// The reports of one run.
#[derive(Debug)]
pub struct Reports {
    reports: Vec<(Report, NamespaceSample)>,
    /// Whether more than one namespace is configured, even if only one has a report.
    several: bool,
}

/// The result of a check and its state.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbedCheck<'a> {
    pub(super) namespace: &'a str,
    pub(super) result: &'a CheckResult,
    pub(super) state: &'a CheckSample,
    several: bool,
}

/// What the result of a check means, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    Working,
    /// It fails during its maintenance.
    Maintenance,
    /// It fails, and the application works without it.
    Warning,
    Critical,
}

/// Runs all checks at once, or `only` the components and checks with these names, each of which is a list separated by commas, and waits at most this long for a result.
///
/// Returns an error if no namespace has one of these names.
pub(super) async fn probe(
    namespaces: &Namespaces,
    only: &[String],
    wait: Option<Duration>,
) -> Result<Reports, String> {
    let all = namespaces.all();
    let only: Vec<_> = only.iter().flat_map(|list| split_names(list)).collect();
    let only = &only[..];
    let names: Vec<_> = all.iter().flat_map(|namespace| namespace.names()).collect();
    reject_unknown(only, names)?;
    let mut reports = join_all(all.iter().map(|namespace| run(namespace, only, wait))).await;
    if !only.is_empty() {
        reports.retain(|(report, _)| !report.components.is_empty());
    }
    Ok(Reports { reports, several: all.len() > 1 })
}

async fn run(
    namespace: &Namespace,
    only: &[String],
    wait: Option<Duration>,
) -> (Report, NamespaceSample) {
    // A check reports a secret that could not be read.
    namespace.first_load().await;
    let options = RunOptions { fresh: true, wait, deadline: None };
    namespace.report_with_sample(only, options).await
}

/// The names in a list separated by commas. In a name, a comma is written `\,` and a backslash before a comma or another backslash `\\`.
fn split_names(list: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut rest = list.chars().peekable();
    while let Some(next) = rest.next() {
        let name = match next {
            ',' => {
                names.push(String::new());
                continue;
            }
            '\\' => rest.next_if(|escaped| matches!(escaped, ',' | '\\')).unwrap_or(next),
            other => other,
        };
        if let Some(last) = names.last_mut() {
            last.push(name);
        }
    }
    names
}

/// A name as it is written in a list.
fn escape_name(name: &str) -> String {
    name.replace('\\', "\\\\").replace(',', "\\,")
}

fn reject_unknown(only: &[String], mut known: Vec<String>) -> Result<(), String> {
    let unknown: Vec<_> = only.iter().filter(|name| !known.contains(name)).cloned().collect();
    if unknown.is_empty() {
        return Ok(());
    }
    known.sort();
    known.dedup();
    let list = |names: Vec<String>| {
        names.iter().map(|name| format!("`{}`", escape_name(name))).collect::<Vec<_>>().join(", ")
    };
    Err(format!("--only: nothing is called {}, expected one of {}", list(unknown), list(known)))
}

impl Reports {
    /// Whether every check works.
    pub fn all_working(&self) -> bool {
        self.reports.iter().all(|(report, _)| report.all_working())
    }

    /// The JSON of the endpoint, or for several namespaces an object with the JSON of each under its name.
    pub fn json(&self) -> String {
        match &self.reports[..] {
            [(report, _)] if !self.several => to_json(report, 0),
            reports => to_json(&ByNamespace(reports), 0),
        }
    }

    /// Whether more than one namespace is configured.
    pub(super) fn several(&self) -> bool {
        self.several
    }

    /// The checks of each namespace.
    pub(super) fn by_namespace(&self) -> impl Iterator<Item = (&str, Vec<ProbedCheck<'_>>)> {
        self.reports.iter().map(|(report, sample)| {
            let results = report.components.iter().flat_map(|(_, results)| results.iter());
            let checks = results.zip(&sample.checks).map(|(result, state)| ProbedCheck {
                namespace: &sample.name,
                result,
                state,
                several: self.several,
            });
            (sample.name.as_str(), checks.collect())
        })
    }

    /// All checks, in the order of the reports.
    pub(super) fn checks(&self) -> impl Iterator<Item = ProbedCheck<'_>> {
        self.by_namespace().flat_map(|(_, checks)| checks)
    }

    /// The state of each namespace, for its metrics.
    pub(super) fn samples(&self) -> Vec<NamespaceSample> {
        self.reports.iter().map(|(_, sample)| sample.clone()).collect()
    }
}

impl Meaning {
    /// What precedes the status of a failure that is not critical.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Working | Self::Critical => "",
            Self::Warning => "warning: ",
            Self::Maintenance => "in maintenance: ",
        }
    }
}

impl ProbedCheck<'_> {
    /// Its name, after that of its namespace if there are several.
    pub(super) fn name(&self) -> String {
        let name = &self.state.name;
        if self.several { format!("{}/{name}", self.namespace) } else { name.to_string() }
    }

    pub(super) fn meaning(&self) -> Meaning {
        match self.state.severity {
            _ if self.result.is_working() => Meaning::Working,
            _ if self.state.in_maintenance => Meaning::Maintenance,
            Severity::Warning => Meaning::Warning,
            Severity::Critical => Meaning::Critical,
        }
    }
}

/// Reports, each under its namespace's name.
struct ByNamespace<'a>(&'a [(Report, NamespaceSample)]);

impl Serialize for ByNamespace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(report, sample)| (&sample.name, report)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_names_is_separated_by_commas_that_are_not_escaped() {
        for (list, expected) in [
            ("redis", &["redis"][..]),
            ("redis,cache.data", &["redis", "cache.data"]),
            (r"queues.a\,b,redis", &["queues.a,b", "redis"]),
            (r"queues.a\\,b", &[r"queues.a\", "b"]),
            (r"queues.a\b\", &[r"queues.a\b\"]),
        ] {
            assert_eq!(split_names(list), expected, "{list}");
        }
        for name in [r"a\,b", r"\\", "a,,b"] {
            assert_eq!(split_names(&escape_name(name)), [name]);
        }
    }
}
