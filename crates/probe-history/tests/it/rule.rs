//! The rule between the bus and the API destination.

use serde_json::json;
use stack::localstack::{BUS, RULE};

use crate::stage::{LOST, Stage, expect, failures, failures_without_event};

#[tokio::test]
async fn a_rule_that_leads_nowhere_says_where_it_leads() {
    let stage = Stage::start();
    let bus = stage.localstack.bus(stage.history.port()).unwrap();
    let (component, at) = (stage.component(), stage.bus_target());
    assert_eq!(failures(&component).await, [""; 0]);

    // Unlike AWS, localstack goes on to deliver.
    bus.disable_rule().unwrap();
    let disabled = format!("event_bridge.rule: rule: the rule `{RULE}` is disabled ({at})");
    expect(&failures(&component).await, &[&disabled]);
    bus.call("enable_rule", &json!({"Name": RULE, "EventBusName": BUS})).unwrap();
    assert_eq!(failures(&component).await, [""; 0]);

    // The other destination leads to the same service.
    bus.target_another_destination().unwrap();
    let other = format!(
        "event_bridge.rule: targets: the rule `{RULE}` does not target `api-destination/history` but `api-destination/other` ({at})"
    );
    expect(&failures(&component).await, &[&other]);

    bus.remove_target().unwrap();
    let none = format!("event_bridge.rule: targets: the rule `{RULE}` has no target ({at})");
    expect(&failures_without_event(&component).await, &[LOST, &none]);

    bus.remove_rule().unwrap();
    let missing =
        format!("event_bridge.rule: rule: there is no rule `{RULE}` on the bus `{BUS}` ({at})");
    expect(&failures_without_event(&component).await, &[LOST, &missing]);

    bus.call("delete_event_bus", &json!({"Name": BUS})).unwrap();
    let no_bus = format!("event_bridge.credentials: bus: there is no bus `{BUS}` ({at})");
    let found = failures_without_event(&component).await;
    expect(&found[1..], &[&no_bus, &missing]);
}
