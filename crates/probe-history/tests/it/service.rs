//! The history service: stopped, refusing the key, out of order.

use serde_json::json;
use stack::history::{Behaviour, History};
use stack::localstack::DESTINATION;

use crate::stage::{LOST, Stage, expect, failures, failures_without_event, local};

#[tokio::test]
async fn an_event_that_the_service_does_not_take_is_lost_on_the_way() {
    let mut stage = Stage::start();
    let bus = stage.localstack.bus(stage.history.port()).unwrap();
    let component = stage.component();
    for behaviour in [Behaviour::RefusesKeys, Behaviour::Fails] {
        let other = History::start(stage.clickhouse.port(), behaviour).unwrap();
        let endpoint = format!("http://127.0.0.1:{}/events", other.port());
        let destination = json!({"Name": DESTINATION, "InvocationEndpoint": endpoint});
        bus.call("update_api_destination", &destination).unwrap();
        // Its health endpoint says nothing of it.
        expect(&failures_without_event(&component).await, &[LOST]);
    }
    let endpoint = format!("http://127.0.0.1:{}/events", stage.history.port());
    let destination = json!({"Name": DESTINATION, "InvocationEndpoint": endpoint});
    bus.call("update_api_destination", &destination).unwrap();
    assert_eq!(failures(&component).await, [""; 0]);

    stage.history.server.stop();
    let refused = format!("api: connect: connection refused ({})", local(stage.history.port()));
    expect(&failures_without_event(&component).await, &[LOST, &refused]);
}
