//! Configuration files: all errors are reported at once, with line and key, without values.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use gateway::config::{Configuration, LoadContext, SecretCache, Severity};
use gateway::kinds::KINDS;
use probe::config::{Node, Value};
use probe::{Checks, SharedResources};

use crate::running::date;

fn read(text: &str) -> Result<Configuration, String> {
    let env = |name: &str| (name == "PASSWORD").then(|| "p@ss".to_owned());
    let context =
        LoadContext { env: &env, vault: &SecretCache::new(), shared: &SharedResources::default() };
    Configuration::read(Path::new("production.toml"), text, context)
        .map_err(|wrong| wrong.to_string())
}

fn check(text: &str, expected: &[&str]) {
    let wrong = read(text).expect_err("the file is invalid");
    let lines: Vec<_> = wrong.lines().map(probe_testkit::without_known_keys).collect();
    assert_eq!(lines, expected);
}

/// The names and kinds of a file's sections, in the order of the file.
pub(crate) fn sections(text: &str) -> Vec<(String, String)> {
    let root = Node::parse(text).unwrap();
    let is_section = |node: &Node| matches!(node.value, Value::Table(_));
    let sections = root.entries().iter().filter(|(_, node)| is_section(node));
    sections
        .map(|(name, section)| match section.get("kind").map(|kind| &kind.value) {
            Some(Value::String(kind)) => (name.clone(), kind.clone()),
            _ => (name.clone(), name.clone()),
        })
        .collect()
}

/// Panics if a probe has no section in this text. The message names the `source` of the text.
pub(crate) fn expect_every_kind(text: &str, source: &str) {
    let sections = sections(text);
    let has_section = |kind: &str| sections.iter().any(|(_, other)| other == kind);
    let missing: Vec<_> =
        KINDS.iter().map(|kind| kind.name).filter(|kind| !has_section(kind)).collect();
    assert!(missing.is_empty(), "{source} has no section of the kinds {missing:?}");
}

/// A valid file, for tests that add to it.
const GOOD: &str = "namespace = \"production\"\naccess_token = \"token\"\n";

#[test]
fn every_error_of_a_file_is_reported_in_the_order_of_its_lines() {
    let kinds: Vec<_> = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
    let unknown_kind = format!(
        "production.toml:14: postgers: no probe is called `postgers`: name the section after one, or set `kind` to one of {}",
        kinds.join(", ")
    );
    check(
        r#"access_token = 7
authorization = "sometimes"
max_age = "soon"
overdue_wait = "-1ms"

[postgres]
url = "postgres://health:hunter2@db:port/app"
timeout = "0s"
colour = "blue"

[redis]
url = "${env:NONE}"

[postgers]
url = "postgres://db"

[redis2]
url = "redis://db"
"#,
        &[
            "production.toml:1: missing `namespace`",
            "production.toml:1: access_token: expected a string, found an integer",
            "production.toml:2: authorization: expected `optional` or `required` or `ignored`",
            "production.toml:3: max_age: expected a duration such as `250ms`, `3s`, `5m` or `1h`",
            "production.toml:4: overdue_wait: expected a duration such as `250ms`, `3s`, `5m` or `1h`",
            "production.toml:7: postgres.url: expected a port from 1 to 65535",
            "production.toml:8: postgres.timeout: expected a timeout of at least `1ms`",
            "production.toml:9: postgres: unknown key `colour`",
            "production.toml:12: redis.url: the environment variable `NONE` is not set",
            &unknown_kind,
            "production.toml:17: redis2: no probe is called `redis2`: set `kind = \"redis\"` in this section",
        ],
    );
}

#[test]
fn a_syntax_error_is_reported_with_its_line_and_without_its_text() {
    check(
        "namespace = \"production\"\naccess_token = \"hunter2\n",
        &["production.toml:2: invalid basic string, expected `\"`"],
    );
}

#[test]
fn the_access_token_is_read_from_vault_by_default() {
    check(
        "namespace = \"production\"\n",
        &[
            "production.toml:1: `vault:secret/production/health` needs a `[vault]` section, which is missing",
        ],
    );
    let file = "namespace = \"production\"\n[vault]\nurl = \"http://vault:8200\"\ntoken = \"t\"\n";
    let configuration = read(file).expect("the file is valid");
    assert!(configuration.access.token.is_none(), "it is not known before Vault is read");
    assert_eq!(
        configuration.vault_paths.into_iter().collect::<Vec<_>>(),
        ["secret/production/health"]
    );
}

#[test]
fn limits_are_inherited_by_sections_and_their_checks() {
    let configuration = read(&format!(
        r#"{GOOD}
timeout = "9s"
[cache]
data = "redis://cache/1"
pages = "redis://cache/2"
max_age = "3s"
[cache.checks.pages]
timeout = "1s"
"#
    ))
    .expect("the file is valid");
    let Checks::Group(checks) = &configuration.components[0].checks else { panic!("a group") };
    let limits: Vec<_> = checks
        .iter()
        .map(|(name, configured)| {
            let limits = configured.settings.limits;
            (name.as_str(), limits.timeout.as_secs(), limits.max_age.as_secs())
        })
        .collect();
    assert_eq!(limits, [("data", 9, 3), ("pages", 1, 3)]);
}

#[test]
fn only_its_own_table_gives_a_check_a_max_age_below_its_minimum_interval() {
    let max_ages = |more: &str| {
        let configuration = read(&format!(
            r#"{GOOD}
[history]
max_age = "3s"
[history.clickhouse]
url = "http://clickhouse:8123"
table = "events"
[history.event_bridge]
bus = "a"
rule = "b"
api_destination = "c"
connection = "d"
region = "eu-central-1"
[history.e2e]
{more}"#
        ))
        .expect("the file is valid");
        let Checks::Group(checks) = &configuration.components[0].checks else { panic!("a group") };
        let ages =
            checks.iter().map(|(_, configured)| configured.settings.limits.max_age.as_secs());
        ages.take(3).collect::<Vec<_>>()
    };
    assert_eq!(max_ages(""), [3, 60, 3]);
    assert_eq!(max_ages("[history.checks.e2e]\ntimeout = \"20s\"\n"), [3, 60, 3]);
    assert_eq!(max_ages("[history.checks.e2e]\nmax_age = \"5s\"\n"), [3, 5, 3]);
}

#[test]
fn an_interval_shorter_than_max_age_is_an_error_where_either_is_set() {
    let redis = "[redis]\nurl = \"redis://h\"\n";
    let too_short = "interval: expected at least `10s`, the `max_age` that applies here";
    check(
        &format!("{GOOD}max_age = \"10s\"\ninterval = \"5s\"\n{redis}"),
        &[&format!("production.toml:4: {too_short}")],
    );
    check(
        &format!("{GOOD}max_age = \"10s\"\n{redis}interval = \"5s\"\n"),
        &[&format!("production.toml:6: redis.{too_short}")],
    );
    check(
        &format!("{GOOD}interval = \"1500ms\"\n{redis}max_age = \"10s\"\n"),
        &[
            "production.toml:6: redis.max_age: expected at most `1500ms`, the `interval` that applies here, or a longer `interval` beside it",
        ],
    );
    check(
        &format!("{GOOD}max_age = \"0s\"\ninterval = \"999ms\"\n{redis}"),
        &["production.toml:4: interval: expected an interval of at least `1s`, or `0s` for none"],
    );
    let intervals = |text: &str| {
        let configuration = read(text).expect("the file is valid");
        let checks = configuration.components.iter().flat_map(|component| component.checks.iter());
        checks.map(|check| check.settings.interval.as_secs()).collect::<Vec<_>>()
    };
    let group =
        "[cache]\na = \"redis://h\"\nb = \"redis://h\"\n[cache.checks.b]\ninterval = \"0s\"\n";
    assert_eq!(intervals(&format!("{GOOD}interval = \"5s\"\n{group}{redis}")), [5, 0, 5]);
    assert_eq!(intervals(&format!("{GOOD}{redis}")), [0]);
    // The minimum interval of this check is no mistake of the file.
    let history = "[history]\ninterval = \"5s\"\n[history.clickhouse]\nurl = \"http://h\"\ndatabase = \"d\"\n\
                   table = \"t\"\nwrites = true\n[history.e2e]\ntime_column = \"c\"\n\
                   [history.event_bridge]\nbus = \"b\"\nrule = \"r\"\nregion = \"eu-central-1\"\n\
                   api_destination = \"d\"\nconnection = \"c\"\n";
    assert!(intervals(&format!("{GOOD}{history}")).iter().all(|interval| *interval == 5));
}

#[test]
fn a_wrong_limit_is_reported_once_where_it_is_set() {
    let text = format!(
        "{GOOD}timeout = \"0s\"\ninterval = \"500ms\"\n\
         [redis]\nurl = \"redis://h\"\ntimeout = \"soon\"\ninterval = \"soon\"\nmax_age = \"soon\"\n\
         [redis2]\nkind = \"redis\"\nurl = \"redis://h\"\ntimeout = \"0s\"\ninterval = \"100ms\"\n\
         [cache]\na = \"redis://h\"\n[cache.checks.a]\ninterval = \"soon\"\n"
    );
    let timeout = "timeout: expected a timeout of at least `1ms`";
    let interval = "interval: expected an interval of at least `1s`, or `0s` for none";
    let duration = "expected a duration such as `250ms`, `3s`, `5m` or `1h`";
    check(
        &text,
        &[
            &format!("production.toml:3: {timeout}"),
            &format!("production.toml:4: {interval}"),
            &format!("production.toml:7: redis.timeout: {duration}"),
            &format!("production.toml:8: redis.interval: {duration}"),
            &format!("production.toml:9: redis.max_age: {duration}"),
            &format!("production.toml:13: redis2.{timeout}"),
            &format!("production.toml:14: redis2.{interval}"),
            &format!("production.toml:18: cache.checks.a.interval: {duration}"),
        ],
    );
}

#[test]
fn an_unknown_severity_is_an_error() {
    let redis = "[redis]\nurl = \"redis://h\"\n";
    check(
        &format!("{GOOD}{redis}severity = \"fatal\"\n"),
        &["production.toml:5: redis.severity: expected `critical` or `warning`"],
    );
    check(
        &format!("{GOOD}{redis}severity = 1\n"),
        &["production.toml:5: redis.severity: expected `critical` or `warning`, found an integer"],
    );
    let group = "[cache]\nseverity = \"warning\"\na = \"redis://h\"\nb = \"redis://h\"\n\
                 [cache.checks.b]\nseverity = \"critical\"\n";
    let configuration = read(&format!("{GOOD}{group}{redis}")).expect("the file is valid");
    let checks = configuration.components.iter().flat_map(|component| component.checks.iter());
    let severities: Vec<_> = checks.map(|check| check.settings.severity).collect();
    assert_eq!(severities, [Severity::Warning, Severity::Critical, Severity::Critical]);
}

#[test]
fn a_maintenance_ends_within_seven_days_and_the_latest_counts() {
    let redis = "[redis]\nurl = \"redis://h\"\n";
    let (tomorrow, in_a_week) = (date("+1 day"), date("+8 days"));
    check(
        &format!("{GOOD}maintenance_until = {in_a_week}\n{redis}"),
        &["production.toml:3: maintenance_until: expected a time that is at most 7 days ahead"],
    );
    check(
        &format!("{GOOD}{redis}maintenance_until = 2030-01-31\n"),
        &[
            "production.toml:5: redis.maintenance_until: expected a date and time with an offset, such as 2030-01-31T04:00:00+01:00, found a date or a time without an offset",
        ],
    );
    let text = format!("{GOOD}maintenance_until = {tomorrow}\n{redis}");
    for past in ["", "maintenance_until = 2020-01-31T04:00:00Z\n"] {
        let configuration = read(&format!("{text}{past}")).expect("the file is valid");
        let Checks::Single(redis) = &configuration.components[0].checks else { panic!("a check") };
        assert!(redis.settings.maintenance_until > Some(SystemTime::now()));
    }
}

#[test]
fn an_answer_may_take_longer_than_every_check() {
    let timeout = |lines: &str| read(&format!("{GOOD}{lines}")).unwrap().answer_timeout.as_secs();
    assert_eq!(timeout(""), 10);
    assert_eq!(timeout("answer_timeout = \"3s\"\n"), 3);
    assert_eq!(timeout("[redis]\nurl = \"redis://h\"\ntimeout = \"20s\"\n"), 21);
    check(
        &format!("{GOOD}answer_timeout = \"0s\"\n"),
        &["production.toml:3: answer_timeout: expected a timeout of at least `1ms`"],
    );
}

#[test]
fn limits_of_an_unknown_check_are_an_error() {
    check(
        &format!(
            "{GOOD}[cache]\ndata = \"redis://cache/1\"\n[cache.checks.date]\ntimeout = \"1s\"\n"
        ),
        &["production.toml:5: cache.checks: no check is called `date`, expected one of `data`"],
    );
    check(
        &format!("{GOOD}[redis]\nurl = \"redis://cache/1\"\nchecks = {{}}\n"),
        &[
            "production.toml:5: redis.checks: this component is a single check, so its settings are in the section itself",
        ],
    );
}

#[test]
fn components_are_in_the_order_of_the_report_whatever_their_order_in_the_file() {
    let configuration = read(&format!(
        r#"{GOOD}
[sessions]
kind = "redis"
url = "redis://sessions"
[redis]
url = "redis://a"
[redis2]
kind = "redis"
url = "redis://b"
[postgres]
url = "postgres://health:${{env:PASSWORD}}@db/app"
[cache]
data = "redis://cache"
"#
    ))
    .expect("the file is valid");
    let names: Vec<_> =
        configuration.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["cache", "postgres", "redis2", "redis", "sessions"]);
}

#[test]
fn a_namespace_has_a_name_without_control_characters() {
    for name in ["", "a\\nb", "a\\u001b[2J"] {
        check(
            &format!("namespace = \"{name}\"\naccess_token = \"token-of-the-tests\"\n"),
            &[
                "production.toml:1: namespace: expected a name of 1 to 100 characters without control characters",
            ],
        );
    }
}

#[test]
fn a_status_code_for_failures_must_have_a_body() {
    for code in [99, 204, 304, 600] {
        check(
            &format!("{GOOD}failure_status = {code}\n"),
            &[
                "production.toml:3: failure_status: expected a status code from 200 to 599 that has a body",
            ],
        );
    }
    assert_eq!(read(&format!("{GOOD}failure_status = 503\n")).unwrap().failure_status, 503);
}

#[test]
fn an_empty_access_token_is_an_error() {
    check(
        "namespace = \"production\"\naccess_token = \"\"\n",
        &["production.toml:2: access_token: expected a token, found an empty string"],
    );
}

#[test]
fn fifty_thousand_names_and_ten_thousand_errors_are_read_quickly() {
    let names: Vec<_> = (0..50_000).map(|number| format!("\"queue{number}\"")).collect();
    let queues = format!("queues = [{}]\n", names.join(","));
    let rabbit = format!("{GOOD}[rabbit]\nurl = \"amqp://mq/\"\n{queues}");
    let celery = format!("{GOOD}[celery]\nbroker = \"redis://mq/\"\n{queues}");
    let unknown: Vec<_> =
        (0..10_000).map(|number| format!("[celery.checks.none{number}]")).collect();
    let unknown = unknown.join("\n");
    // If the list were searched for each name, each of these would take more than half a minute.
    let begun = Instant::now();
    assert!(read(&rabbit).is_ok() && read(&celery).is_ok());
    let errors = read(&format!("{celery}{unknown}")).expect_err("these checks are unknown");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(errors.lines().count(), 10_000);
    let first = errors.lines().next().unwrap_or_default();
    assert!(first.ends_with("`queues.queue28`, or 49971 others"), "{first}");
}

#[test]
fn a_token_that_no_path_can_contain_is_an_error_and_its_last_newline_is_ignored() {
    check(
        "namespace = \"production\"\naccess_token = \"hunter2/hunter2\"\n",
        &[
            "production.toml:2: access_token: expected a token without `/`, which ends it in a request's path",
        ],
    );
    let empty = "namespace = \"production\"\naccess_token = \"\\n\"\n";
    check(empty, &["production.toml:2: access_token: expected a token, found an empty string"]);
    let file = "namespace = \"production\"\naccess_token = \"token\\r\\n\"\n";
    let token = read(file).expect("the file is valid").access.token.expect("it has one");
    assert_eq!(token.expose(), "token");
}

/// Takes half a minute, since ten thousand files are read by the real program.
mod slow {
    use std::fs;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    const SECRET: &str = "Planted-Qx7-secret";
    const SIGNS: &[&str] =
        &["\"", "'", "[", "]", "{", "}", "=", ".", "#", "\n", "${", "\u{0}", "é"];
    const FOLDERS: u64 = 20;
    const FILES: usize = 500;

    /// Changes some lines of `text`, except within those with the secret, where its parts would become keys, which messages name.
    fn mutate(text: &str, random: &mut StdRng) -> String {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for _ in 0..random.random_range(1..=8) {
            let [at, other] = [0, 1].map(|_| random.random_range(0..lines.len()));
            match random.random_range(0..5) {
                0 => lines.swap(at, other),
                1 => lines.insert(at, lines[other].clone()),
                2 if lines.len() > 1 => drop(lines.remove(at)),
                _ if lines[at].contains(SECRET) => {}
                kind => {
                    let mut characters: Vec<_> = lines[at].chars().collect();
                    let place = random.random_range(0..=characters.len());
                    if kind == 3 && place < characters.len() {
                        characters.remove(place);
                    } else {
                        let sign = SIGNS[random.random_range(0..SIGNS.len())];
                        characters.splice(place..place, sign.chars());
                    }
                    lines[at] = characters.into_iter().collect();
                }
            }
        }
        lines.join("\n")
    }

    #[test]
    fn check_config_reads_ten_thousand_mutated_files_without_showing_a_value() {
        let text = stack::demo_toml("E1")
            .replace(":${vault:secret/", &format!(":{SECRET}${{vault:secret/"));
        assert!(text.matches(SECRET).count() > 5);
        for seed in 0..FOLDERS {
            let (folder, mut random) = (tempfile::tempdir().unwrap(), StdRng::seed_from_u64(seed));
            for file in 0..FILES {
                let mutated = mutate(&text, &mut random);
                fs::write(folder.path().join(format!("{file:03}.toml")), mutated).unwrap();
            }
            let begun = Instant::now();
            let output = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
                .arg("check-config")
                .arg(folder.path())
                .output()
                .unwrap();
            assert!(begun.elapsed() < Duration::from_mins(1), "{seed}: {:?}", begun.elapsed());
            assert_eq!(output.status.code(), Some(1), "{seed}");
            let printed = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
            for part in ["panicked", &SECRET[..10], &SECRET[8..]] {
                let line = printed.iter().flat_map(|it| it.lines()).find(|it| it.contains(part));
                assert_eq!(line, None, "{seed}");
            }
        }
    }
}
