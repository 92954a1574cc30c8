//! The API destination, and the references to it and from it.

use probe_history::KIND;
use probe_testkit::component;
use serde_json::{Value, json};
use stack::localstack::{CONNECTION, DESTINATION};
use stack::moto::Moto;

use crate::pipeline::{
    LOST, Pipeline, assert_lines, event_bridge_settings, failures, failures_without_event, local,
};

#[tokio::test]
async fn a_destination_must_exist_and_use_the_connection() {
    let pipeline = Pipeline::start();
    let bus = pipeline.localstack.bus(pipeline.history.port()).unwrap();
    let (component, at) = (pipeline.component(), pipeline.bus_target());

    // The other connection has the same key, so that events still arrive.
    bus.bind_to_another_connection().unwrap();
    let other = format!(
        "event_bridge.api_destination: api destination: bound to `connection/other`, not to `connection/history` ({at})"
    );
    assert_lines(&failures(&component).await, &[&other]);

    bus.remove_destination().unwrap();
    let missing = format!(
        "event_bridge.api_destination: api destination: there is no API destination `{DESTINATION}` ({at})"
    );
    assert_lines(&failures_without_event(&component).await, &[LOST, &missing]);
}

/// moto assigns a new id to a recreated resource, as AWS does. It delivers no events.
#[tokio::test]
async fn a_reference_to_a_recreated_resource_is_an_error() {
    let (moto, keys) = Moto::start_enforcing_permissions(&["events:*"]).unwrap();
    let at = local(moto.port());
    let component = component(&KIND, "history", &event_bridge_settings(at, &keys.id, &keys.secret));
    assert_eq!(failures(&component).await, [""; 0]);

    let events = |operation, parameters| moto.aws.call("events", operation, &parameters).unwrap();
    let mut destination = events("describe_api_destination", json!({"Name": DESTINATION}));
    events("delete_api_destination", json!({"Name": DESTINATION}));
    let copy = |destination: &Value| {
        let copied = ["Name", "ConnectionArn", "InvocationEndpoint", "HttpMethod"];
        copied.map(|key| (key.to_owned(), destination[key].clone())).into_iter().collect::<Value>()
    };
    events("create_api_destination", copy(&destination));
    let earlier = format!(
        "event_bridge.rule: targets: refers to an earlier API destination `{DESTINATION}`, which was deleted and recreated ({at})"
    );
    assert_eq!(failures(&component).await, [earlier.as_str()]);

    destination = events("describe_connection", json!({"Name": CONNECTION}));
    events("delete_connection", json!({"Name": CONNECTION}));
    let key = json!({"ApiKeyName": "X-Api-Key", "ApiKeyValue": "new"});
    events(
        "create_connection",
        json!({
            "Name": CONNECTION,
            "AuthorizationType": destination["AuthorizationType"],
            "AuthParameters": {"ApiKeyAuthParameters": key},
        }),
    );
    let connection = format!(
        "event_bridge.api_destination: api destination: refers to an earlier connection `{CONNECTION}`, which was deleted and recreated ({at})"
    );
    assert_eq!(failures(&component).await, [connection, earlier]);
}
