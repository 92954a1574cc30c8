//! The page of made-up reports.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use probe::Observation;

use super::*;
use crate::config::{CheckLimits, Severity};
use crate::overview::{CheckOverview, LastRun};
use crate::report::{CheckResult, ComponentResult};
use crate::runner::history_tests::history;

const REFUSED: &str = "connect: connection refused (redis:6379)";

/// A check with its results, which are seconds and failures.
fn check(name: &str, results: &[(u32, Option<&str>)]) -> CheckOverview {
    let failure = results.last().and_then(|(_, failure)| *failure);
    CheckOverview {
        name: name.into(),
        kind: "redis",
        target: "redis:6379".to_owned(),
        severity: Severity::Critical,
        maintenance_until: None,
        interval: Duration::from_secs(30),
        is_shared: false,
        limits: CheckLimits {
            timeout: Duration::from_secs(5),
            max_age: Duration::from_secs(1),
            overdue_wait: Duration::from_millis(100),
        },
        last: Some(LastRun {
            line: failure.map(Into::into),
            cause: failure.map_or(0, |line| line.len() as u64),
            seen_by: None,
        }),
        observations: Vec::new(),
        history: (!results.is_empty()).then(|| history(results)),
    }
}

fn overview(checks: Vec<CheckOverview>) -> Overview {
    Overview { namespace: "production".to_owned(), checks, ..Overview::default() }
}

/// The page of a report with the last result of each check.
fn page_of(overview: &Overview, query: &str) -> String {
    let result = |check: &CheckOverview| {
        let line = check.last.as_ref().and_then(|last| last.line.as_deref());
        let response_time = Duration::from_micros(412);
        CheckResult { status: line.unwrap_or("working").to_owned(), response_time }
    };
    let component =
        |check: &CheckOverview| (check.name.to_string(), ComponentResult::Single(result(check)));
    let components: Vec<_> = overview.checks.iter().map(component).collect();
    let components = Arc::new(components.into());
    let report = Report { components, age: None, has_critical_failure: true };
    super::report(&report, overview, &Filter::parse(query))
}

/// The position of a text, which must be there.
fn position(page: &str, text: &str) -> usize {
    page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"))
}

#[test]
fn checks_that_fail_for_one_reason_are_one_block_and_come_first() {
    let failing = |name| check(name, &[(10, None), (60, Some(REFUSED))]);
    let other = check("vault", &[(10, Some("health: sealed (vault:8200)"))]);
    let checks = vec![check("a", &[(10, None)]), failing("b"), other, failing("c")];
    let page = page_of(&overview(checks), "");
    assert!(page.contains("<title>✕ 3 of 4 not working · production</title>"), "{page}");
    position(&page, "<h1>3 of 4 checks of production are not working</h1>");
    assert_eq!(page.matches("<section class=\"cause bad\">").count(), 2);
    let block = position(&page, "One cause for 2 checks");
    assert!(page[block..].contains("since <time datetime=\"1970-01-01T00:01:00Z\">"), "{page}");
    let order =
        ["b", "vault", "c", "a"].map(|name| position(&page, &format!("id=\"check-{name}\"")));
    assert!(order.is_sorted(), "{page}");
}

#[test]
fn a_block_does_not_depend_on_what_differs_from_run_to_run() {
    let mut checks = Vec::new();
    for (name, seconds) in [("a", 4), ("b", 5)] {
        let line = format!("authenticate: denied, refused {seconds}s ago (redis:6379)");
        checks.push(check(name, &[(10, Some(&line))]));
    }
    position(&page_of(&overview(checks), ""), "One cause for 2 checks");
}

#[test]
fn warnings_and_maintenance_come_after_critical_failures_and_have_their_own_icon() {
    let failing = |name| check(name, &[(10, Some(REFUSED))]);
    let warning = CheckOverview { severity: Severity::Warning, ..failing("a") };
    let until = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
    let maintenance = CheckOverview { maintenance_until: Some(until), ..failing("b") };
    let page = page_of(&overview(vec![maintenance.clone(), warning.clone(), failing("c")]), "");
    let order = ["c", "a", "b"].map(|name| position(&page, &format!("id=\"check-{name}\"")));
    assert!(order.is_sorted(), "{page}");
    position(&page, "01:00:00</time>: b.");
    let other = check("d", &[(10, Some("read: no (redis:6379)"))]);
    let warning_of_its_own = CheckOverview { severity: Severity::Warning, ..other };
    position(&page_of(&overview(vec![warning_of_its_own]), ""), "d is not working (warning)");
    let page = page_of(&overview(vec![warning, maintenance]), "");
    position(&page, "<title>! 2 of 2 not working");
    position(&page, "No critical check fails");
}

#[test]
fn a_recovered_check_still_shows_the_reason() {
    let page = page_of(&overview(vec![check("a", &[(10, Some(REFUSED)), (75, None)])]), "");
    position(&page, "<h1>The only check of production is working</h1>");
    let changes = &page[position(&page, "<h2>Changes</h2>")..];
    assert!(position(changes, "works again after 1\u{a0}min") < position(changes, REFUSED));
}

#[test]
fn the_details_of_a_check_name_steps_settings_observations_and_what_to_try() {
    let mut check = check("a", &[(10, Some(REFUSED))]);
    check.observations = vec![
        Observation::QueueMessages("high".into(), 3),
        Observation::CertificateExpiry(SystemTime::UNIX_EPOCH),
        Observation::HistoryStage("arrive", Duration::from_micros(107_381)),
    ];
    let page = page_of(&overview(vec![check]), "");
    for text in [
        "<span class=\"step\">connect 0.4\u{a0}ms</span>, <span class=\"step\">ask 1.0\u{a0}ms</span>",
        "every 30\u{a0}s",
        "<dt>queue messages of high</dt><dd>3</dd>",
        "<dt>history stage of arrive</dt><dd>107\u{a0}ms</dd>",
        "<dt>certificate expiry</dt><dd><time datetime=\"1970-01-01T00:00:00Z\">",
        "Try first: the server's process and port",
        "<title>1 result, 1 of them failed</title>",
        "<polyline points=\"236,1 240,1\">",
    ] {
        position(&page, text);
    }
}

#[test]
fn a_refused_configuration_unreadable_secrets_and_gaps_are_noticed() {
    let mut overview = overview(vec![check("a", &[(10, None), (3_700, None)])]);
    let page = page_of(&overview, "");
    position(&page, "Nothing has asked for 1\u{a0}h 1\u{a0}min");
    assert!(!page.contains("refused") && !page.contains("Vault"), "{page}");
    overview.rejected_since = Some(SystemTime::UNIX_EPOCH);
    overview.unreadable_secrets = 2;
    let page = page_of(&overview, "");
    position(&page, "The current configuration is refused.");
    position(&page, "2 secrets cannot be read from Vault");
}

#[test]
fn filters_apply_to_the_table_and_stay_in_links() {
    let failing = check("celery.ping", &[(10, Some(REFUSED))]);
    let overview = overview(vec![check("celery.queues.a", &[(10, None)]), failing]);
    let page = page_of(&overview, "state=failing&q=CELERY&refresh=5");
    assert!(page.contains("check-celery.ping") && !page.contains("check-celery.queues"), "{page}");
    position(&page, "<h1>1 of 2 checks of production is not working</h1>");
    position(&page, "href=\"?state=working&amp;q=CELERY&amp;refresh=5\"");
    position(&page, "Stop refreshing");
    position(&page_of(&overview, "q=none"), "No check matches.");
}

#[test]
fn every_text_is_escaped_and_no_secret_is_shown() {
    let markup = "read: <script>\"'&\u{2028} (redis:6379)";
    let secret = probe::Secret::new("hunter2-of-the-page");
    let line = "read: hunter2-of-the-page (redis:6379)";
    let mut checks = vec![check("a <b>", &[(10, Some(markup))]), check("s", &[(10, Some(line))])];
    checks[0].observations = vec![Observation::QueueMessages("<i>".into(), 3)];
    checks[0].target = "<u>".to_owned();
    let page = page_of(&overview(checks), "q=%3Cs%3E");
    for unescaped in ["<b>", "<i>", "<u>", "<s>", "<script>\"", "hunter2"] {
        assert!(!page.contains(unescaped), "{unescaped} in {page}");
    }
    drop(secret);
}

#[test]
fn a_check_without_results_and_one_without_state_are_listed() {
    let mut overview = overview(vec![check("a", &[]), check("b", &[])]);
    overview.checks[0].last = None;
    let page = page_of(&overview, "");
    position(&page, "<h1>All 2 checks of production are working</h1>");
    position(&page_of(&Overview::default(), ""), "No check is configured");
}
