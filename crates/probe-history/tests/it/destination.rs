//! The API destination between the rule and the connection.

use probe_history::KIND;
use probe_testkit::component;
use serde_json::{Value, json};
use stack::localstack::{CONNECTION, DESTINATION};
use stack::moto::Moto;

use crate::stage::{
    LOST, Stage, event_bridge_part, expect, failures, failures_without_event, local,
};

#[tokio::test]
async fn a_destination_must_be_the_one_that_both_its_neighbours_mean() {
    let stage = Stage::start();
    let bus = stage.localstack.bus(stage.history.port()).unwrap();
    let (component, at) = (stage.component(), stage.bus_target());

    // The other connection opens the same door.
    bus.bind_to_another_connection().unwrap();
    let other = format!(
        "event_bridge.api_destination: api destination: bound to `connection/other`, not to `connection/history` ({at})"
    );
    expect(&failures(&component).await, &[&other]);

    bus.remove_destination().unwrap();
    let missing = format!(
        "event_bridge.api_destination: api destination: there is no API destination `{DESTINATION}` ({at})"
    );
    expect(&failures_without_event(&component).await, &[LOST, &missing]);
}

/// moto gives everything that is made anew an id of its own, as AWS does; nothing arrives anywhere.
#[tokio::test]
async fn a_namesake_of_what_was_deleted_is_not_the_same() {
    let (moto, keys) = Moto::start_checking(&["events:*"]).unwrap();
    let at = local(moto.port());
    let component = component(&KIND, "history", &event_bridge_part(at, &keys.id, &keys.secret));
    assert_eq!(failures(&component).await, [""; 0]);

    let events = |operation, parameters| moto.aws.call("events", operation, &parameters).unwrap();
    let mut destination = events("describe_api_destination", json!({"Name": DESTINATION}));
    events("delete_api_destination", json!({"Name": DESTINATION}));
    let make = |destination: &Value| {
        let copied = ["Name", "ConnectionArn", "InvocationEndpoint", "HttpMethod"];
        copied.map(|key| (key.to_owned(), destination[key].clone())).into_iter().collect::<Value>()
    };
    events("create_api_destination", make(&destination));
    let earlier = format!(
        "event_bridge.rule: targets: leads to an earlier API destination `{DESTINATION}`, which was deleted and made anew ({at})"
    );
    assert_eq!(failures(&component).await, [earlier.as_str()]);

    destination = events("describe_connection", json!({"Name": CONNECTION}));
    events("delete_connection", json!({"Name": CONNECTION}));
    let key = json!({"ApiKeyName": "X-Api-Key", "ApiKeyValue": "anew"});
    events(
        "create_connection",
        json!({
            "Name": CONNECTION,
            "AuthorizationType": destination["AuthorizationType"],
            "AuthParameters": {"ApiKeyAuthParameters": key},
        }),
    );
    let connection = format!(
        "event_bridge.api_destination: api destination: leads to an earlier connection `{CONNECTION}`, which was deleted and made anew ({at})"
    );
    assert_eq!(failures(&component).await, [connection, earlier]);
}
