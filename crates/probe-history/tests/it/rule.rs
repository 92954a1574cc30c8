//! The states of the rule, and its targets.

use probe_history::KIND;
use probe_testkit::{component, diagnostics};
use serde_json::json;
use stack::aws::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use stack::localstack::{BUS, Localstack, RULE};

use crate::pipeline::{
    LOST, Pipeline, assert_lines, event_bridge_settings, failures, failures_without_event, local,
};

#[tokio::test]
async fn a_rule_must_be_enabled_and_target_the_destination() {
    let pipeline = Pipeline::start();
    let bus = pipeline.localstack.bus(pipeline.history.port()).unwrap();
    let (component, at) = (pipeline.component(), pipeline.bus_target());
    assert_eq!(failures(&component).await, [""; 0]);

    // Unlike AWS, localstack still delivers events.
    bus.disable_rule().unwrap();
    let disabled = format!("event_bridge.rule: rule: the rule `{RULE}` is disabled ({at})");
    assert_lines(&failures(&component).await, &[&disabled]);
    bus.call("enable_rule", &json!({"Name": RULE, "EventBusName": BUS})).unwrap();
    assert_eq!(failures(&component).await, [""; 0]);

    // The other destination sends events to the same service.
    bus.target_another_destination().unwrap();
    let other = format!(
        "event_bridge.rule: targets: the rule `{RULE}` does not target `api-destination/history` but `api-destination/other` ({at})"
    );
    assert_lines(&failures(&component).await, &[&other]);

    bus.remove_target().unwrap();
    let none = format!("event_bridge.rule: targets: the rule `{RULE}` has no target ({at})");
    assert_lines(&failures_without_event(&component).await, &[LOST, &none]);

    bus.remove_rule().unwrap();
    let missing =
        format!("event_bridge.rule: rule: there is no rule `{RULE}` on the bus `{BUS}` ({at})");
    assert_lines(&failures_without_event(&component).await, &[LOST, &missing]);

    bus.call("delete_event_bus", &json!({"Name": BUS})).unwrap();
    let no_bus = format!("event_bridge.credentials: bus: there is no bus `{BUS}` ({at})");
    let found = failures_without_event(&component).await;
    assert_lines(&found[1..], &[&no_bus, &missing]);
}

#[tokio::test]
async fn the_rule_must_match_the_sample_event() {
    let localstack = Localstack::start().unwrap();
    let bus = localstack.bus(9).unwrap();
    let at = local(localstack.port());
    let settings = event_bridge_settings(at, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let lines = async |sample: &str| {
        let lines = format!("{settings}sample_event = {{ {sample} }}\n");
        failures(&component(&KIND, "history", &lines)).await
    };
    let order = "source = 'app', detail_type = 'order placed'";
    assert_eq!(lines(order).await, [""; 0]);

    let set_pattern = |pattern: &serde_json::Value| {
        let rule = json!({"Name": RULE, "EventBusName": BUS, "EventPattern": pattern.to_string()});
        bus.call("put_rule", &rule).unwrap();
    };
    let mismatch = |pattern: &str| {
        format!(
            "event_bridge.rule: pattern: the rule `{RULE}` does not match `sample_event`: its pattern is {pattern} ({at})"
        )
    };
    set_pattern(&json!({"source": ["shop"]}));
    assert_eq!(lines(order).await, [mismatch(r#"{"source":["shop"]}"#)]);
    // Without a sample event, only the rule's state is verified.
    assert_eq!(failures(&component(&KIND, "history", &settings)).await, [""; 0]);
    let size = json!({"detail": {"size": [{"numeric": [">", 3]}]}, "source": [{"prefix": "ap"}]});
    set_pattern(&size);
    assert_eq!(lines(order).await, [mismatch(&size.to_string())]);
    assert_eq!(lines(&format!("{order}, detail = '{{\"size\": 4}}'")).await, [""; 0]);
}

#[test]
fn a_sample_event_has_a_source_a_type_and_a_detail() {
    let at = local(1);
    let settings = event_bridge_settings(at, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let lines = format!("{settings}sample_event = {{ source = 'app', detail = '[]' }}\n");
    assert_eq!(
        diagnostics(&KIND, "history", &lines),
        [
            "10: history.event_bridge.sample_event: missing `detail_type`",
            "10: history.event_bridge.sample_event.detail: expected a JSON object",
        ]
    );
}
