//! `health-gateway probe`: runs every check once, without a server, and prints the results.

use futures_util::future::join_all;
use serde::{Serialize, Serializer};

use crate::http::{seconds, to_json};
use crate::namespace::Namespace;
use crate::namespaces::Namespaces;
use crate::report::Report;
use crate::runner::RunOptions;

/// The reports of one run.
#[derive(Debug)]
pub struct Reports {
    /// The name and the report of each namespace.
    reports: Vec<(String, Report)>,
    /// Whether more than one namespace is configured, even if only one has a report.
    several: bool,
}

/// Runs every check at once, or `only` the components and checks with these names.
///
/// Returns an error if no namespace has one of these names.
pub async fn probe(namespaces: &Namespaces, only: &[String]) -> Result<Reports, String> {
    let all = namespaces.all();
    let names: Vec<_> = all.iter().flat_map(|namespace| namespace.names()).collect();
    reject_unknown(only, names)?;
    let mut reports = join_all(all.iter().map(|namespace| run(namespace, only))).await;
    if !only.is_empty() {
        reports.retain(|(_, report)| !report.components.is_empty());
    }
    Ok(Reports { reports, several: all.len() > 1 })
}

async fn run(namespace: &Namespace, only: &[String]) -> (String, Report) {
    // A check reports a secret that could not be read.
    namespace.first_load().await;
    let options = RunOptions { fresh: true, wait: None, deadline: None };
    let report = match only {
        [] => namespace.report(options).await,
        only => namespace.report_only(only, options).await,
    };
    (namespace.name(), report)
}

fn reject_unknown(only: &[String], mut known: Vec<String>) -> Result<(), String> {
    let unknown: Vec<_> = only.iter().filter(|name| !known.contains(name)).cloned().collect();
    if unknown.is_empty() {
        return Ok(());
    }
    known.sort();
    known.dedup();
    let list = |names: Vec<String>| {
        names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
    };
    Err(format!("--only: nothing is called {}, expected one of {}", list(unknown), list(known)))
}

/// Reports, each under its namespace's name.
struct ByNamespace<'a>(&'a [(String, Report)]);

impl Serialize for ByNamespace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, report)| (name, report)))
    }
}

impl Reports {
    /// Whether every check works.
    pub fn all_working(&self) -> bool {
        self.reports.iter().all(|(_, report)| report.all_working())
    }

    /// The JSON of the endpoint, or for several namespaces an object with the JSON of each under its name.
    pub fn json(&self) -> String {
        let json = match &self.reports[..] {
            [(_, report)] if !self.several => to_json(report, 0),
            reports => to_json(&ByNamespace(reports), 0),
        };
        json + "\n"
    }

    /// A table with a line for each check. The status is the last column, since it may be long.
    pub fn table(&self) -> String {
        let head = ["namespace", "check", "seconds", "status"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(self.rows()).collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let (first, second, third) = (width(0), width(1), width(2));
        let line = |[namespace, check, time, status]: &[String; 4]| {
            let line = format!("{check:second$}  {time:>third$}  {status}\n");
            if self.several { format!("{namespace:first$}  {line}") } else { line }
        };
        rows.iter().map(line).collect()
    }

    fn rows(&self) -> impl Iterator<Item = [String; 4]> {
        self.reports.iter().flat_map(|(namespace, report)| {
            report.checks().map(|(check, result)| {
                [namespace.clone(), check, seconds(result.response_time), result.status.clone()]
            })
        })
    }
}
