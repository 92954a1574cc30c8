//! The event that `history.e2e` sends through a pipeline: its rate, and runs without callers.

use serde_json::{Value, json};
use stack::aws::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use stack::clickhouse::{Clickhouse, DATABASE, TABLE};
use stack::history::{Behaviour, History};
use stack::localstack::{BUS, CONNECTION, DESTINATION, Localstack, RULE, SOURCES};
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::metrics::{series, start};
use crate::running::{FILE, Gateway, TOKEN, status, wait_for};

/// A private pipeline.
struct Pipeline {
    clickhouse: Clickhouse,
    history: History,
    localstack: Localstack,
}

impl Pipeline {
    fn start() -> Self {
        let clickhouse = Clickhouse::start().unwrap();
        let history = History::start(clickhouse.port(), Behaviour::Works).unwrap();
        let localstack = Localstack::start().unwrap();
        localstack.bus(history.port()).unwrap();
        Self { clickhouse, history, localstack }
    }

    fn file(&self) -> String {
        let (localstack, clickhouse) = (self.localstack.port(), self.clickhouse.port());
        format!(
            r#"{FILE}
[history.clickhouse]
url = "http://127.0.0.1:{clickhouse}"
user = "{HEALTH_USER}"
password = "{HEALTH_PASSWORD}"
database = "{DATABASE}"
table = "{TABLE}"
[history.event_bridge]
bus = "{BUS}"
rule = "{RULE}"
api_destination = "{DESTINATION}"
connection = "{CONNECTION}"
endpoint_url = "http://127.0.0.1:{localstack}"
region = "{REGION}"
access_key_id = "{ACCESS_KEY_ID}"
secret_access_key = "{SECRET_ACCESS_KEY}"
[history.e2e]
[history.checks.e2e]
timeout = "20s"
"#
        )
    }

    /// The number of the gateway's events that left the pipeline, after the arrival of another event that is sent now.
    fn events(&self) -> String {
        let last = json!({
            "EventBusName": BUS, "Source": SOURCES[0], "DetailType": "last", "Detail": "{}",
        });
        self.localstack.aws.call("events", "put_events", &json!({"Entries": [last]})).unwrap();
        let count = |source: &str| {
            let query = format!("SELECT count() FROM {DATABASE}.{TABLE} WHERE source = '{source}'");
            self.clickhouse.sql(&query).unwrap()
        };
        wait_for("the last event", || match count(SOURCES[0]).as_str() {
            "0" => Err("nothing".to_owned()),
            _ => Ok(()),
        });
        count("health-gateway")
    }
}

fn assert_working(report: &Value) {
    for (name, check) in report["history"].as_object().unwrap() {
        assert_eq!(check["status"], "working", "{name}");
    }
}

#[test]
fn fifty_reports_within_a_minute_put_one_event_on_the_bus() {
    let pipeline = Pipeline::start();
    let (gateway, own) = start(&pipeline.file());
    for fresh in [&[][..], &["Cache-Control: no-cache"]].iter().cycle().take(50) {
        assert_working(&gateway.report_with(TOKEN, fresh));
    }
    assert_eq!(pipeline.events(), "1");
    let stages = series(own, "health_gateway_history_stage_seconds");
    let labels = "gateway_namespace=\"tests\",component=\"history\",check=\"history.e2e\"";
    for (stage, series) in ["accept", "arrive"].iter().zip(&stages) {
        let labels = format!("{{{labels},stage=\"{stage}\"}} ");
        let seconds = series.strip_prefix(&labels).and_then(|value| value.parse::<f64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds > 0.0 && seconds < 20.0), "{stages:?}");
    }
    assert_eq!(stages.len(), 2, "{stages:?}");
}

#[test]
fn a_run_without_a_caller_continues_to_wait_for_its_event() {
    let pipeline = Pipeline::start();
    let gateway = Gateway::start(&pipeline.file());
    pipeline.history.server.pause();
    let report = gateway.report_with(TOKEN, &["Prefer: wait=2"]);
    let status = status(&report, "/history/e2e");
    assert!(status.starts_with("arrive: not finished within the 2s "), "{status}");
    pipeline.history.server.resume();
    assert_working(&gateway.report());
    assert_eq!(pipeline.events(), "1");
}
