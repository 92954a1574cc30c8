//! The report as an HTML page: failed checks first, without scripts or external resources.

use http::HeaderValue;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::json::seconds;
use crate::report::Report;

/// The Content-Security-Policy of a page. It allows the page's own style, by its hash, and nothing else.
pub(super) const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'sha256-HNDfbiFUXCqoXmIMZFcy9WBXmJpTUU7AqrIKjVP0PzQ='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.4 system-ui,sans-serif}\
body{max-width:60rem;margin:0 auto;padding:1rem}\
h1{font-size:1.4rem}\
table{width:100%;border-collapse:collapse}\
th,td{padding:.4rem .5rem;text-align:left;vertical-align:top;border-bottom:1px solid #8886;overflow-wrap:anywhere}\
td:last-child,th:last-child{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
.bad{background:#d322;font-weight:600}\
pre{white-space:pre-wrap;overflow-wrap:anywhere}";

/// Returns the page with a report.
pub(super) fn report(report: &Report) -> String {
    let (working, failing): (Vec<_>, Vec<_>) =
        report.checks().partition(|(_, result)| result.is_working());
    let all = working.len() + failing.len();
    let title = match failing.len() {
        0 => format!("All {all} checks are working"),
        failing => format!("{failing} of {all} checks are not working"),
    };
    page(
        &title,
        &html! {
            table {
                thead { tr { th { "Check" } th { "Status" } th { "Seconds" } } }
                tbody {
                    @for (name, result) in failing.iter().chain(&working) {
                        tr.bad[!result.is_working()] {
                            td { (name) }
                            td { (result.status) }
                            td { (seconds(result.response_time)) }
                        }
                    }
                }
            }
            p { a href="?format=json" { "The same as JSON" } }
        },
    )
}

/// Returns the page with the description of the endpoint.
pub(super) fn metadata(name: &str, json: &str) -> String {
    page(name, &html! { pre { (json) } })
}

fn page(title: &str, content: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) }
                // Without it, browsers request `/favicon.ico`.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (content)
            }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use data_encoding::BASE64;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::report::{CheckResult, ComponentResult};

    fn result(status: &str) -> CheckResult {
        CheckResult { status: status.to_owned(), response_time: Duration::from_millis(1) }
    }

    #[test]
    fn the_policy_allows_this_style_and_no_other() {
        let allowed = format!("style-src 'sha256-{}'", BASE64.encode(&Sha256::digest(STYLE)));
        let policy = POLICY.to_str().expect("ASCII").to_owned();
        assert!(policy.contains(&allowed), "write {allowed} into the policy");
    }

    #[test]
    fn failed_checks_come_first_and_every_text_is_escaped() {
        let components = vec![
            ("redis".to_owned(), ComponentResult::Single(result("working"))),
            (
                "s3".to_owned(),
                ComponentResult::Group(vec![(
                    probe::CheckName::new("<b>").expect("a name"),
                    result("list: \"<script>\""),
                )]),
            ),
        ];
        let components = std::sync::Arc::new(components.into());
        let page = report(&Report { components, age: None, has_critical_failure: true });
        assert!(page.contains("<h1>1 of 2 checks are not working</h1>"), "{page}");
        let failing =
            page.find("<tr class=\"bad\"><td>s3.&lt;b&gt;</td>").expect("the failing check");
        assert!(failing < page.find("<td>redis</td>").expect("the working check"));
        assert!(page.contains("list: &quot;&lt;script&gt;&quot;"), "{page}");
    }
}
