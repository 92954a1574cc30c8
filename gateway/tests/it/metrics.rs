//! The metrics on the second listener, of the real program.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use gateway::metrics::families;
use probe_testkit::TlsFiles;
use stack::redis::Redis;
use stack::{CELERY_QUEUES, HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST, rabbit};

use crate::running::{FILE, Gateway, Response, TOKEN, get, receive, send, wait_for};

/// A gateway, and the address of its second listener.
pub(crate) fn start(file: &str) -> (Gateway, SocketAddr) {
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port().unwrap()));
    let arguments = ["--health-listen", &own.to_string()];
    (Gateway::start_with_arguments(&[("tests.toml", file)], &arguments), own)
}

fn scrape(own: SocketAddr, headers: &[&str]) -> Response {
    let answer = receive(send(own, "GET", "/metrics", headers).expect("it listens"));
    let answer = answer.expect("a complete response");
    assert_eq!(answer.status, 200);
    answer
}

/// The series with this name, each with its labels and value.
pub(crate) fn series(own: SocketAddr, name: &str) -> Vec<String> {
    let text = scrape(own, &[]).body;
    let of_name = text.lines().filter_map(|line| line.strip_prefix(name));
    of_name.filter(|rest| rest.starts_with(['{', ' '])).map(ToOwned::to_owned).collect()
}

fn wait_for_series(own: SocketAddr, name: &str, expected: &[&str]) {
    wait_for(name, || {
        let series = series(own, name);
        if series == expected { Ok(()) } else { Err(series.join("\n")) }
    });
}

const LABELS: &str = "gateway_namespace=\"tests\",component=\"redis\",check=\"redis\"";

#[test]
fn the_series_of_a_check_follow_its_runs_and_end_with_it() {
    let redis = Redis::start(&[]).unwrap();
    let section = format!("[redis]\nurl = \"redis://127.0.0.1:{}\"\n", redis.port());
    let (gateway, own) = start(&format!("{FILE}{section}"));
    let check = |name: &str, more: &str, value: &str| {
        let expected = format!("{{{LABELS}{more}}} {value}");
        assert_eq!(series(own, &format!("health_gateway_check_{name}")), [expected]);
    };
    assert!(series(own, "health_gateway_check_up").is_empty(), "it has not run");
    assert!(series(own, "health_gateway_check_last_run_timestamp_seconds").is_empty());
    check("duration_seconds_count", "", "0");

    assert_eq!(gateway.status("/redis"), "working");
    check("up", ",severity=\"critical\"", "1");
    assert!(series(own, "health_gateway_check_failing").is_empty());
    check("status_changes_total", "", "0");

    gateway.write("tests.toml", &format!("{FILE}{section}severity = \"warning\"\n"));
    let up = format!("{{{LABELS},severity=\"warning\"}} 1");
    wait_for_series(own, "health_gateway_check_up", &[&up]);
    drop(redis);
    assert!(gateway.status("/redis").starts_with("connect: "), "it has ended");
    check("up", ",severity=\"warning\"", "0");
    check("failing", ",step=\"connect\"", "1");
    check("status_changes_total", "", "1");
    let runs = series(own, "health_gateway_check_runs_total");
    let expected = [("working", 1), ("failed", 1), ("timed_out", 0), ("defect", 0)];
    let expected =
        expected.map(|(result, count)| format!("{{{LABELS},result=\"{result}\"}} {count}"));
    assert_eq!(runs, expected);
    check("duration_seconds_count", "", "2");

    gateway.write("tests.toml", &format!("{FILE}[cache]\na = \"redis://127.0.0.1:1\"\n"));
    let cache = "{gateway_namespace=\"tests\",component=\"cache\",check=\"cache.a\"} 0";
    wait_for_series(own, "health_gateway_check_status_changes_total", &[cache]);
    assert!(!scrape(own, &[]).body.contains("\"redis\""), "its series end with it");
}

#[test]
fn every_check_on_a_connection_observes_the_certificate_of_its_server() {
    let (files, port) = (TlsFiles::new("127.0.0.1"), stack::free_port().unwrap());
    let _redis = Redis::start(&files.redis_settings(port).each_ref().map(String::as_str)).unwrap();
    let ca = files.authority.toml();
    let check = |name| format!("[cache.{name}]\nurl = \"rediss://127.0.0.1:{port}\"\n{ca}");
    let (gateway, own) = start(&format!("{FILE}{}{}", check("a"), check("b")));
    for _ in 0..3 {
        assert_eq!(
            (&*gateway.status("/cache/a"), &*gateway.status("/cache/b")),
            ("working", "working")
        );
        let expected = ["a", "b"].map(|name| {
            // Without a period of its own, a certificate for tests expires in 4096.
            format!("{{gateway_namespace=\"tests\",component=\"cache\",check=\"cache.{name}\"}} 67090118400.0")
        });
        assert_eq!(series(own, "health_gateway_certificate_expiry_timestamp_seconds"), expected);
    }
}

#[test]
fn the_queues_of_a_check_are_series_of_their_own() {
    let (queue, broker) = (CELERY_QUEUES[0], rabbit::shared().unwrap());
    let url = format!("amqp://{HEALTH_USER}:{HEALTH_PASSWORD}@{broker}/{RABBIT_VHOST}");
    let (gateway, own) =
        start(&format!("{FILE}[rabbit]\nurl = \"{url}\"\nqueues = [\"{queue}\"]\n"));
    assert_eq!(gateway.status("/rabbit"), "working");
    for name in ["messages", "consumers"] {
        let series = series(own, &format!("health_gateway_queue_{name}"));
        let labels = format!(
            "{{gateway_namespace=\"tests\",component=\"rabbit\",check=\"rabbit\",queue=\"{queue}\"}} "
        );
        assert!(series.len() == 1 && series[0].starts_with(&labels), "{series:?}");
    }
}

#[test]
fn the_format_is_the_requested_one() {
    let (_gateway, own) = start(&format!("{FILE}[redis]\nurl = \"redis://127.0.0.1:1\"\n"));
    let open_metrics = "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3";
    let answer = scrape(own, &[open_metrics]);
    let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.headers["content-type"], expected);
    assert!(answer.body.ends_with("# EOF\n"));
    let mut buckets = answer.body.lines().filter(|line| line.contains("_bucket{"));
    let last = buckets.next_back().expect("a histogram");
    assert!(last.contains("le=\"+Inf\""), "{last}");
    for other in [&[][..], &["Accept: image/png"]] {
        let answer = scrape(own, other);
        assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        assert!(!answer.body.contains("EOF"));
    }
}

#[test]
fn exactly_the_listed_families_are_exposed() {
    let shared = "[redis]\nurl = \"redis://127.0.0.1:1\"\nshare = true\n";
    let store = "[share]\nstore = \"redis://127.0.0.1:1\"\n";
    let (gateway, own) = start(&format!("{FILE}{shared}{store}"));
    // Neither a status code nor the store has a series before the first report.
    gateway.report();
    let text = scrape(own, &[]).body;
    let exposed: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let listed: Vec<_> =
        families().map(|family| format!("{} {}", family.name(), family.kind())).collect();
    assert_eq!(exposed, listed);
    for family in families() {
        let name = family.name();
        let is_of_checks = family.labels.contains(&"check");
        assert!(is_of_checks || text.contains(&format!("\n{name}")), "{name} has a value");
    }
}

#[test]
fn labels_are_escaped_and_contain_no_address() {
    let (gateway, own) = start(&format!(
        "{FILE}[\"a\\\"b\\\\c\"]\nkind = \"redis\"\nurl = \"redis://:hunter2@127.0.0.1:1\"\n"
    ));
    gateway.report();
    let up = series(own, "health_gateway_check_up");
    let name = r#""a\"b\\c""#;
    let labels = format!("gateway_namespace=\"tests\",component={name},check={name}");
    assert_eq!(up, [format!("{{{labels},severity=\"critical\"}} 0")]);
    let text = scrape(own, &[]).body;
    for hidden in ["127.0.0.1", "hunter2", TOKEN, "refused ("] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[test]
fn requests_tokens_and_rejected_files_are_counted() {
    let (gateway, own) = start(FILE);
    gateway.report();
    assert_eq!(get(gateway.address, "wrong-token", &[]).status, 405);
    wait_for_series(
        own,
        "health_gateway_http_requests_total",
        &["{code=\"200\"} 1", "{code=\"405\"} 1"],
    );
    assert_eq!(series(own, "health_gateway_tokens_refused_total"), [" 1"]);
    wait_for_series(own, "health_gateway_http_connections", &[" 0"]);
    let successful = "health_gateway_config_last_reload_successful";
    wait_for_series(own, successful, &["{gateway_namespace=\"tests\"} 1"]);
    gateway.write("tests.toml", "namespace = 7\n");
    wait_for_series(own, successful, &["{gateway_namespace=\"tests\"} 0"]);
    gateway.write("tests.toml", FILE);
    wait_for_series(own, successful, &["{gateway_namespace=\"tests\"} 1"]);
}

#[test]
fn the_open_files_are_those_of_the_process() {
    let (gateway, own) = start(FILE);
    let pid = gateway.server.pid().expect("it runs");
    wait_for("the open files", || {
        let counted = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        let exposed = series(own, "process_open_fds");
        // The connection of the scrape is one more.
        let expected = [format!(" {}", counted + 1)];
        if exposed == expected { Ok(()) } else { Err(format!("{exposed:?} {expected:?}")) }
    });
}
