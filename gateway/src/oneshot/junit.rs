//! The results as the XML of `JUnit`, which CI systems show as tests.

use std::time::Duration;

use maud::{Markup, PreEscaped, html};

use super::reports::{Meaning, ProbedCheck, Reports};
use super::terminal::escape;
use crate::http::seconds;

const DECLARATION: PreEscaped<&str> = PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");

/// A suite for each namespace, with a case for each check. A failure during maintenance is skipped.
pub(super) fn junit(reports: &Reports) -> String {
    let checks: Vec<_> = reports.checks().collect();
    let document = html! {
        (DECLARATION)
        testsuites
            name="health-gateway"
            tests=(checks.len())
            failures=(failures(&checks))
            skipped=(skipped(&checks))
            errors="0"
            time=(longest(&checks)) {
            @for (namespace, checks) in reports.by_namespace() {
                (PreEscaped("\n"))
                testsuite
                    name=(escape(namespace))
                    tests=(checks.len())
                    failures=(failures(&checks))
                    skipped=(skipped(&checks))
                    errors="0"
                    time=(longest(&checks)) {
                    @for check in &checks { (PreEscaped("\n")) (case(check)) }
                    (PreEscaped("\n"))
                }
            }
            (PreEscaped("\n"))
        }
        (PreEscaped("\n"))
    };
    document.into_string()
}

fn case(check: &ProbedCheck<'_>) -> Markup {
    let status = escape(&check.result.status);
    let time = seconds(check.result.response_time);
    html! {
        testcase classname=(escape(check.namespace)) name=(escape(&check.state.name)) time=(time) {
            @match check.meaning() {
                Meaning::Working => {}
                Meaning::Maintenance => { skipped message={ "in maintenance: " (status) } {} }
                Meaning::Warning => { failure type="warning" message=(status) {} }
                Meaning::Critical => { failure type="critical" message=(status) {} }
            }
        }
    }
}

fn failures(checks: &[ProbedCheck<'_>]) -> usize {
    checks.iter().filter(|check| check.meaning() > Meaning::Maintenance).count()
}

fn skipped(checks: &[ProbedCheck<'_>]) -> usize {
    checks.iter().filter(|check| check.meaning() == Meaning::Maintenance).count()
}

/// All checks run at the same time.
fn longest(checks: &[ProbedCheck<'_>]) -> String {
    let times = checks.iter().map(|check| check.result.response_time);
    seconds(times.max().unwrap_or(Duration::ZERO))
}
