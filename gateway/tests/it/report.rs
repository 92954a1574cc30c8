//! The report on real servers: healthy, silent or restarted, and with many callers at once.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use stack::postgres::Postgres;
use stack::redis::Redis;

use crate::configuration::{expect_every_kind, sections};
use crate::running::{FILE, Gateway, TOKEN, get, status, wait_for};

/// One Redis as `redis`, another one as `redis2` and under four caches, as in the demo.
fn redis_file(first: &Redis, second: &Redis) -> String {
    let (first, second) = (first.port(), second.port());
    format!(
        r#"{FILE}timeout = "1s"
[redis]
url = "redis://127.0.0.1:{first}"
[redis2]
kind = "redis"
url = "redis://127.0.0.1:{second}"
[cache]
data = "redis://127.0.0.1:{second}/1"
pages = "redis://127.0.0.1:{second}/2"
task_lock = "redis://127.0.0.1:{second}/3"
task_queue = "redis://127.0.0.1:{second}/4"
"#
    )
}

/// A counter of `INFO`, such as `cmdstat_set:calls` or `total_connections_received`.
fn info(redis: &Redis, section: &str, counter: &str) -> u64 {
    let info = redis.command(&["INFO", section]).unwrap();
    let (_, value) = info.split_once(counter).unwrap_or_else(|| panic!("{counter} in {info}"));
    let digits: String = value[1..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn failures(report: &Value) -> Vec<String> {
    let components = report.as_object().unwrap();
    let mut failures = Vec::new();
    for (name, component) in components {
        let mut note = |name: String, check: &Value| {
            let status = check["status"].as_str().unwrap();
            if status != "working" {
                failures.push(format!("{name}: {status}"));
            }
        };
        if component.get("status").is_some() {
            note(name.clone(), component);
        } else {
            for (check_name, check) in component.as_object().unwrap() {
                note(format!("{name}.{check_name}"), check);
            }
        }
    }
    failures
}

/// The checks of the demo's groups, in the order of the report.
const CHECKS: &[(&str, &[&str])] = &[
    ("cache", &["data", "pages", "task_lock", "task_queue"]),
    ("celery", &["ping", "queues.high_priority", "queues.medium_priority", "queues.low_priority"]),
    ("cloud_front", &["site"]),
    (
        "history",
        &[
            "clickhouse",
            "e2e",
            "event_bridge.api_destination",
            "event_bridge.connection",
            "event_bridge.credentials",
            "event_bridge.rule",
            "api",
            "files",
        ],
    ),
    ("s3", &["files"]),
];

/// The components of this configuration, each followed by its checks: the demo is written in the order of the report.
fn names(demo: &str) -> Vec<String> {
    let sections = sections(demo).into_iter();
    let with_checks = |(section, _): (String, String)| {
        let checks = CHECKS.iter().find(|(group, _)| *group == section);
        let checks = checks.map_or(&[][..], |(_, checks)| checks);
        let checks: Vec<_> = checks.iter().map(|check| (*check).to_owned()).collect();
        std::iter::once(section).chain(checks)
    };
    sections.flat_map(with_checks).collect()
}

#[test]
fn the_demo_works_in_the_order_of_the_report() {
    stack::redis::shared().unwrap();
    let demo = std::fs::read_to_string(stack::demo_config()).unwrap();
    let folder = stack::state();
    let demo = demo.replace("${file:", &format!("${{file:{}/", folder.display()));
    let gateway = Gateway::start(&demo);
    let token = stack::access_token().unwrap();
    let answer = get(gateway.address, &token, &[]);
    let report: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(failures(&report), [""; 0]);
    expect_every_kind(&demo, "the demo of crates/stack/src/demo.rs");
    let mut rest = answer.body.as_str();
    for name in names(&demo) {
        let key = format!("\"{name}\":");
        rest = rest.split_once(&key).unwrap_or_else(|| panic!("no `{name}` in {rest}")).1;
    }

    // Each server has one connection, however many checks use it. Celery shares that of RabbitMQ.
    for _ in 0..20 {
        assert_eq!(failures(&gateway.report_with(&token, &["Cache-Control: no-cache"])), [""; 0]);
    }
    let ports = [stack::REDIS, stack::REDIS2, stack::POSTGRES, stack::VAULT, stack::RABBIT];
    wait_for("one connection each", || {
        let connections = gateway.connections(&ports.map(|server| server.port()));
        if connections == [1, 1, 1, 1, 1] { Ok(()) } else { Err(format!("{connections:?}")) }
    });
}

#[test]
fn only_the_first_caller_waits_for_the_timeout_of_a_silent_redis() {
    let (first, second) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let gateway = Gateway::start(&redis_file(&first, &second));
    assert_eq!(failures(&gateway.report()), [""; 0]);

    first.server.pause();
    let begun = Instant::now();
    let silent = failures(&gateway.report());
    let first_wait = begun.elapsed();
    let port = first.port();
    assert_eq!(silent, [format!("redis: write: no answer within 1s (127.0.0.1:{port})")]);
    // The bound is the timeout plus 50 ms. The rest is a margin for a busy machine.
    assert!(first_wait < Duration::from_millis(1500), "{first_wait:?}");

    for _ in 0..20 {
        let begun = Instant::now();
        let silent = failures(&gateway.report());
        let wait = begun.elapsed();
        assert!(silent.len() == 1 && silent[0].contains("no answer within 1s"), "{silent:?}");
        assert!(wait < Duration::from_millis(600), "{wait:?}");
    }

    first.server.resume();
    assert_eq!(failures(&gateway.report_with(TOKEN, &["Cache-Control: no-cache"])), [""; 0]);
}

#[test]
fn how_long_later_callers_wait_for_a_silent_redis_is_a_setting() {
    let redis = Redis::start(&[]).unwrap();
    let port = redis.port();
    let gateway = Gateway::start(&format!(
        r#"{FILE}timeout = "1s"
overdue_wait = "0ms"
[redis]
url = "redis://127.0.0.1:{port}"
[cache]
data = "redis://127.0.0.1:{port}/1"
pages = "redis://127.0.0.1:{port}/2"
overdue_wait = "3ms"
[cache.checks.pages]
overdue_wait = "7ms"
"#
    ));
    assert_eq!(failures(&gateway.report()), [""; 0]);
    redis.server.pause();
    // The first caller waits for the timeout.
    assert_eq!(failures(&gateway.report()).len(), 3);
    let answer = get(gateway.address, TOKEN, &["Cache-Control: no-cache"]);
    let report: Value = serde_json::from_str(&answer.body).unwrap();
    for (path, waited) in
        [("/redis", "0.000000"), ("/cache/data", "0.003000"), ("/cache/pages", "0.007000")]
    {
        let result = report.pointer(path).unwrap();
        assert!(result["status"].as_str().unwrap().contains("no answer within 1s"), "{result}");
        assert_eq!(result["response_time"], waited, "{path}");
    }
    // The results are those of the last run, and the answer says how old they are.
    assert!(answer.headers.contains_key("age"), "{answer:?}");
    redis.server.resume();
    // No caller waits for the run that ends the outage.
    gateway.wait_for_status("/redis", "working");
}

#[test]
fn concurrent_callers_share_one_run_of_each_check() {
    let (first, second) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let file = redis_file(&first, &second).replace("max_age = \"0s\"", "max_age = \"1m\"");
    let gateway = Gateway::start(&file);
    let together = Barrier::new(200);
    thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                together.wait();
                assert_eq!(failures(&gateway.report()), [""; 0]);
            });
        }
    });
    assert_eq!(info(&first, "commandstats", "cmdstat_set:calls"), 1);
    // Here `redis2` and the four caches share a server.
    assert_eq!(info(&second, "commandstats", "cmdstat_set:calls"), 5);
    assert_eq!(gateway.connections(&[first.port(), second.port()]), [1, 1]);
}

#[test]
fn a_run_opens_no_connection_in_the_steady_state() {
    let (first, second) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let postgres = Postgres::start(&[]).unwrap();
    let url = format!(
        "postgres://{}:{}@127.0.0.1:{}/{}?sslmode=disable",
        stack::HEALTH_USER,
        stack::HEALTH_PASSWORD,
        postgres.port(),
        stack::POSTGRES_DATABASE
    );
    let file = format!("{}[postgres]\nurl = \"{url}\"\n", redis_file(&first, &second));
    let gateway = Gateway::start(&file);
    assert_eq!(failures(&gateway.report()), [""; 0]);
    // Each query of the test itself opens a connection, which is counted as well.
    let opened = |redis| info(redis, "stats", "total_connections_received");
    let before = (opened(&first), opened(&second));
    let sessions = "SELECT count(*), min(backend_start) FROM pg_stat_activity \
                    WHERE application_name = 'health-gateway'";
    let session = postgres.sql("postgres", sessions).unwrap();
    assert!(session.starts_with('1'), "{session}");
    for _ in 0..50 {
        assert_eq!(failures(&gateway.report()), [""; 0]);
    }
    assert_eq!((opened(&first), opened(&second)), (before.0 + 1, before.1 + 1));
    assert_eq!(postgres.sql("postgres", sessions).unwrap(), session);
}

#[test]
fn a_restart_between_two_runs_is_not_reported() {
    let (mut first, second) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let gateway = Gateway::start(&redis_file(&first, &second));
    assert_eq!(failures(&gateway.report()), [""; 0]);
    first.server.restart().unwrap();
    assert_eq!(failures(&gateway.report()), [""; 0]);
    first.server.stop();
    let refused = format!("connect: connection refused (127.0.0.1:{})", first.port());
    assert_eq!(status(&gateway.report(), "/redis"), refused);
}

#[test]
fn prefer_wait_bounds_the_time_to_the_answer() {
    let (first, second) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let gateway = Gateway::start(&redis_file(&first, &second));
    first.server.pause();
    let begun = Instant::now();
    let answer = get(gateway.address, TOKEN, &["Prefer: wait=0"]);
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(answer.headers["preference-applied"], "wait=0");
    let report: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(status(&report, "/redis").contains("that the caller waits"), "{report}");
}

#[test]
fn a_closed_connection_cancels_its_runs() {
    let (first, second) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let file = redis_file(&first, &second).replace("timeout = \"1s\"", "timeout = \"1h\"");
    let gateway = Gateway::start(&file);
    assert_eq!(failures(&gateway.report()), [""; 0]);
    first.server.pause();
    let mut caller = TcpStream::connect(gateway.address).unwrap();
    write!(caller, "GET /api/health/{TOKEN}/ HTTP/1.1\r\nHost: gateway\r\n\r\n").unwrap();
    let connections = |expected: [usize; 2]| {
        wait_for("connections", || {
            let found = gateway.connections(&[first.port(), second.port()]);
            if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
        });
    };
    // All checks start at once, so the run on the silent server has started as well.
    wait_for("the run", || match info(&second, "commandstats", "cmdstat_set:calls") {
        10 => Ok(()),
        calls => Err(calls.to_string()),
    });
    connections([1, 1]);
    drop(caller);
    // The run was cancelled, and its connection is closed, since a response may still arrive on it.
    connections([0, 1]);
    first.server.resume();
    assert_eq!(failures(&gateway.report()), [""; 0]);
}

#[test]
fn the_status_code_of_a_failure_is_configurable() {
    let file = format!("{FILE}failure_status = 503\n[redis]\nurl = \"redis://127.0.0.1:{}\"\n", 1);
    let gateway = Gateway::start(&file);
    let answer = get(gateway.address, TOKEN, &[]);
    assert_eq!(answer.status, 503);
    assert_eq!(
        status(&serde_json::from_str(&answer.body).unwrap(), "/redis"),
        "connect: connection refused (127.0.0.1:1)"
    );
}

#[test]
fn a_stored_report_has_an_age_header() {
    let (first, second) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let file = redis_file(&first, &second).replace("max_age = \"0s\"", "max_age = \"1m\"");
    let gateway = Gateway::start(&file);
    assert_eq!(get(gateway.address, TOKEN, &[]).headers.get("age"), None);
    assert_eq!(get(gateway.address, TOKEN, &[]).headers["age"], "0");
    assert_eq!(get(gateway.address, TOKEN, &["Cache-Control: no-cache"]).headers.get("age"), None);
}
