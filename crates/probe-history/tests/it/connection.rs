//! The connection, which holds the service's key.

use stack::localstack::CONNECTION;

use crate::stage::{LOST, Stage, expect, failures_without_event};

#[tokio::test]
async fn a_connection_must_be_authorized() {
    let stage = Stage::start();
    let bus = stage.localstack.bus(stage.history.port()).unwrap();
    let (component, at) = (stage.component(), stage.bus_target());
    let inactive = format!(
        "event_bridge.api_destination: api destination: inactive: its connection is not authorized ({at})"
    );

    bus.leave_connection_authorizing().unwrap();
    let waiting =
        format!("event_bridge.connection: connection: not authorized yet (AUTHORIZING) ({at})");
    expect(&failures_without_event(&component).await, &[LOST, &inactive, &waiting]);

    bus.remove_connection().unwrap();
    let missing = format!(
        "event_bridge.connection: connection: there is no connection `{CONNECTION}` ({at})"
    );
    expect(&failures_without_event(&component).await, &[LOST, &inactive, &missing]);
}
