//! The states of the connection, which holds the service's key.

use stack::localstack::CONNECTION;

use crate::pipeline::{LOST, Pipeline, assert_lines, failures_without_event};

#[tokio::test]
async fn a_connection_must_be_authorized() {
    let pipeline = Pipeline::start();
    let bus = pipeline.localstack.bus(pipeline.history.port()).unwrap();
    let (component, at) = (pipeline.component(), pipeline.bus_target());
    let inactive = format!(
        "event_bridge.api_destination: api destination: inactive: its connection is not authorized ({at})"
    );

    bus.leave_connection_authorizing().unwrap();
    let waiting =
        format!("event_bridge.connection: connection: not authorized yet (AUTHORIZING) ({at})");
    assert_lines(&failures_without_event(&component).await, &[LOST, &inactive, &waiting]);

    bus.remove_connection().unwrap();
    let missing = format!(
        "event_bridge.connection: connection: there is no connection `{CONNECTION}` ({at})"
    );
    assert_lines(&failures_without_event(&component).await, &[LOST, &inactive, &missing]);
}
