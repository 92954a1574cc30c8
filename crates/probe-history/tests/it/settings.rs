//! The diagnostics of the settings, which quote no values.

use std::time::Duration;

use probe::config::{Node, Value};
use probe::{Failure, SharedResources};
use probe_history::KIND;
use probe_testkit::{checks, component, diagnostics, run};

fn assert_diagnostics(lines: &str, expected: &[&str]) {
    assert_eq!(diagnostics(&KIND, "history", lines), expected);
}

fn assert_names(lines: &str, expected: &[&str]) {
    let component = component(&KIND, "history", lines);
    let names: Vec<_> = checks(&component).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, expected);
}

#[test]
fn only_configured_tables_have_checks() {
    let clickhouse = "[clickhouse]\nurl = 'http://clickhouse:8123'\ntable = 'events'\n";
    let event_bridge = "[event_bridge]\nbus = 'a'\nrule = 'b'\napi_destination = 'c'\nconnection = 'd'\nregion = 'eu-central-1'\n";
    assert_names(clickhouse, &["clickhouse"]);
    assert_names("[api]\nurl = 'https://history'\n", &["api"]);
    let stages = [
        "event_bridge.api_destination",
        "event_bridge.connection",
        "event_bridge.credentials",
        "event_bridge.rule",
    ];
    assert_names(event_bridge, &stages);
    let all = [&["clickhouse", "e2e"], &stages[..]].concat();
    assert_names(&format!("{event_bridge}{clickhouse}[e2e]\n"), &all);
    assert_diagnostics(
        "",
        &[
            "1: history.clickhouse: expected at least one of the tables `clickhouse`, `event_bridge`, `e2e`, `api`, `files`",
        ],
    );
    assert_diagnostics(
        &format!("{clickhouse}[e2e]\n"),
        &["4: history.e2e: expected `clickhouse` and `event_bridge` beside it"],
    );
}

#[test]
fn all_diagnostics_of_all_tables_are_reported() {
    assert_diagnostics(
        "[clickhouse]\nurl = 'http://me:pw@h'\npassword = \"a\\nb\"\ndatabase = ''\nca = 'x'\n",
        &[
            "1: history.clickhouse: missing `table`",
            "2: history.clickhouse.url: expected the user in `url` or in `user` and `password`, but not both",
            "3: history.clickhouse.password: expected a password without control characters",
            "4: history.clickhouse.database: expected a name of 1 to 200 bytes without control characters",
            "5: history.clickhouse.ca: expected PEM with at least one certificate; a file is read with `${file:/path}`",
        ],
    );
    assert_diagnostics(
        "[event_bridge]\nbus = 'a b'\nrule = ''\nregion = 'x'\n",
        &[
            "1: history.event_bridge: missing `api_destination`",
            "1: history.event_bridge: missing `connection`",
            "2: history.event_bridge.bus: expected a name of letters, digits, `.`, `-` and `_`, not an ARN",
            "3: history.event_bridge.rule: expected a name of letters, digits, `.`, `-` and `_`, not an ARN",
        ],
    );
    assert_diagnostics(
        "[api]\nurl = 'http://h/#x'\nstatus = 99\n[api.headers]\nHost = 7\nConnection = 'x'\nA = \"b\\nc\"\n'd e' = 'f'\n",
        &[
            "2: history.api.url: expected a URL without a fragment: no server would see it",
            "3: history.api.status: expected a status such as `200`",
            "5: history.api.headers.Host: expected a string, found an integer",
            "6: history.api.headers.Connection: expected another header: the HTTP client sets this one itself",
            "7: history.api.headers.A: expected a value without line breaks",
            "8: history.api.headers.d e: expected the name of an HTTP header",
        ],
    );
    assert_diagnostics(
        "[api]\nurl = 'http://h'\nca = 'x'\nheaders = { a = 'b', A = 'c' }\ncolour = 'blue'\n",
        &[
            "3: history.api.ca: expected PEM with at least one certificate; a file is read with `${file:/path}`",
            "4: history.api.headers: expected each name once, ignoring case",
            "5: history.api: unknown key `colour`",
        ],
    );
}

#[tokio::test]
async fn a_secret_that_is_not_known_yet_fails_only_the_checks_that_need_it() {
    let lines = "[clickhouse]\nurl = 'http://127.0.0.1:1'\ntable = 'events'\npassword = 'x'\n[api]\nurl = 'http://127.0.0.1:1'\n";
    let mut node = Node::parse(lines).unwrap();
    let Value::Table(tables) = &mut node.value else { panic!("a table") };
    let Value::Table(clickhouse) = &mut tables[0].1.value else { panic!("a table") };
    clickhouse[2].1.value = Value::Unknown(Failure::msg("read secret", "vault is sealed"));
    let component = KIND.checks("history", &node, &SharedResources::default()).unwrap();
    let mut lines = Vec::new();
    for (name, check) in checks(&component) {
        let outcome = run(&check, Duration::from_secs(20)).await;
        lines.push(format!("{name}: {}", outcome.line()));
    }
    assert_eq!(
        lines,
        [
            "clickhouse: read secret: vault is sealed",
            "api: connect: connection refused (127.0.0.1:1)"
        ]
    );
}
