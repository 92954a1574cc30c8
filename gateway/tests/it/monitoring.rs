//! The alert rules under a real Prometheus and Alertmanager, with minutes shortened to seconds.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use probe_testkit::TlsFiles;
use regex_lite::Regex;
use serde_json::Value;
use stack::monitoring::{Monitoring, MonitoringPlan};
use stack::redis::Redis;

use crate::running::{FILE, Gateway, date, get, wait_for};

/// A receiver of the notifications of an Alertmanager.
struct Webhook {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Value>>>::default();
        let notifications = received.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let notification = receive(stream.unwrap());
                notifications.lock().push(notification);
            }
        });
        Self { address, received }
    }

    /// The status, the check and the description of each alert on a check, of all notifications.
    fn alerts(&self) -> Vec<[String; 3]> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let alert = |alert: &Value| {
            let (labels, annotations) = (&alert["labels"], &alert["annotations"]);
            [text(&alert["status"]), text(&labels["check"]), text(&annotations["description"])]
        };
        let received = self.received.lock();
        let alerts = received.iter().filter_map(|notification| notification["alerts"].as_array());
        // Before the first scrape, the rules may miss the gateway itself.
        alerts.flatten().map(alert).filter(|[_, check, _]| !check.is_empty()).collect()
    }
}

/// Reads a request with a body of JSON, and answers it.
fn receive(stream: TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// The rules with a second in place of each minute.
fn fast_rules() -> String {
    let rules = stack::workspace().join("deploy/prometheus/rules.yml");
    let rules = fs::read_to_string(rules).unwrap().replace("for: 1h", "for: 60m");
    Regex::new(r"\b(\d+)m\b").unwrap().replace_all(&rules, "${1}s").into_owned()
}

#[test]
fn a_stopped_redis_is_one_alert_with_its_step_and_silent_in_maintenance() {
    let (mut redis, mut maintained) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let file = format!(
        "{FILE}interval = \"1s\"\n[redis]\nurl = \"redis://127.0.0.1:{}\"\n\
         [redis2]\nkind = \"redis\"\nmaintenance_until = {}\nurl = \"redis://127.0.0.1:{}\"\n",
        redis.port(),
        date("+1 day"),
        maintained.port(),
    );
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port().unwrap()));
    let arguments = ["--health-listen", &own.to_string()];
    let _gateway = Gateway::start_with_arguments(&[("tests.toml", &file)], &arguments);
    let (webhook, rules) = (Webhook::start(), fast_rules());
    let monitoring = Monitoring::start(MonitoringPlan {
        target: own,
        rules: &rules,
        interval: "500ms",
        webhook: Some(webhook.address),
    });
    let monitoring = monitoring.unwrap();
    let up = |check: &str, value: f64| {
        let query = format!("check:health_gateway_check_up:avg{{check=\"{check}\"}}");
        wait_for(&query, || {
            let series = monitoring.query(&query).map_err(|error| error.to_string())?;
            let is_expected = series.len() == 1 && series[0].1.to_bits() == value.to_bits();
            if is_expected { Ok(()) } else { Err(format!("{series:?}")) }
        });
    };
    up("redis", 1.0);
    up("redis2", 1.0);
    redis.server.stop();
    maintained.server.stop();
    let fires = wait_for("an alert", || match &webhook.alerts()[..] {
        [alert, ..] => Ok(alert.clone()),
        [] => Err(format!("{:?}", monitoring.alerts())),
    });
    let description = "redis of tests works on 0% of its gateways; it fails at `connect` (1).";
    assert_eq!(fires, ["firing", "redis", description]);
    redis.server.restart().unwrap();
    let expected = [["firing", "redis"], ["resolved", "redis"]];
    let alerts = wait_for("the end of the alert", || match &webhook.alerts()[..] {
        [] | [_] => Err(format!("{:?}", monitoring.alerts())),
        alerts => Ok(alerts.to_vec()),
    });
    let alerts: Vec<_> = alerts.iter().map(|[status, check, _]| [&**status, check]).collect();
    assert_eq!(alerts, expected, "one alert");
    // The other Redis has been down for as long, and its series continues.
    up("redis", 1.0);
    up("redis2", 0.0);
    let alerts = monitoring.alerts().unwrap();
    assert!(alerts.is_empty(), "{alerts:?}");
}

/// Panels that may have no data in the demo: it has no replicas, and its token may not expire.
const EMPTY: [&str; 3] =
    ["Replication lag of PostgreSQL", "Replication lag of Redis", "Vault tokens"];

#[test]
fn every_query_of_the_dashboard_has_data_of_the_demo() {
    let demo = fs::read_to_string(stack::demo_config()).unwrap();
    let demo = demo
        .replace("${file:", &format!("${{file:{}/", stack::state().display()))
        .replace("interval = \"30s\"", "interval = \"1s\"");
    let (files, port) = (TlsFiles::new("127.0.0.1"), stack::free_port().unwrap());
    let _redis = Redis::start(&files.redis_settings(port).each_ref().map(String::as_str)).unwrap();
    let ca = files.authority.toml();
    let others = format!(
        "[with_certificate]\nkind = \"redis\"\nurl = \"rediss://127.0.0.1:{port}\"\n{ca}\n\
         [failing]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n"
    );
    let demo = demo + "\n" + &others;
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port().unwrap()));
    let arguments = ["--health-listen", &own.to_string()];
    let gateway = Gateway::start_with_arguments(&[("demo.toml", &demo)], &arguments);
    // A request to the endpoint.
    assert_eq!(get(gateway.address, &stack::access_token().unwrap(), &[]).status, 200);
    let plan =
        MonitoringPlan { target: own, rules: "groups: []", interval: "500ms", webhook: None };
    let monitoring = Monitoring::start(plan).unwrap();
    let dashboard =
        fs::read_to_string(stack::workspace().join("deploy/grafana/health-gateway.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut queries = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            let query = ["$job", "$gateway_namespace", "$check"]
                .iter()
                .fold(query.to_owned(), |query, variable| query.replace(variable, ".*"))
                .replace("$__rate_interval", "1m")
                .replace("offset 1w", "offset 1s");
            // Lost lines, and gateways without a store, are shown only if there are any.
            let may_be_empty = EMPTY.contains(&title) || query.ends_with("> 0");
            wait_for(title, || {
                let series = monitoring.query(&query).map_err(|error| error.to_string())?;
                if may_be_empty || !series.is_empty() { Ok(()) } else { Err(query.clone()) }
            });
            queries += 1;
        }
    }
    assert!(queries > 30, "{queries}");
}
