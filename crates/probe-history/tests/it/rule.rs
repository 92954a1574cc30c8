//! The states of the rule, and its targets.

use serde_json::json;
use stack::localstack::{BUS, RULE};

use crate::pipeline::{LOST, Pipeline, assert_lines, failures, failures_without_event};

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
