//! Failures of the history service: it rejects the key, fails, or is stopped.

use serde_json::json;
use stack::history::{Behaviour, History};
use stack::localstack::DESTINATION;

use crate::pipeline::{Pipeline, assert_lines, failures, failures_without_event, local};

#[tokio::test]
async fn an_event_that_the_service_rejects_is_lost() {
    let lost = "e2e: arrive: the event is not in the database within 3s (the bus accepted it ";
    let mut pipeline = Pipeline::start();
    let bus = pipeline.localstack.bus(pipeline.history.port()).unwrap();
    let component = pipeline.component();
    for behaviour in [Behaviour::RefusesKeys, Behaviour::Fails] {
        let other = History::start(pipeline.clickhouse.port(), behaviour).unwrap();
        let endpoint = format!("http://127.0.0.1:{}/events", other.port());
        let destination = json!({"Name": DESTINATION, "InvocationEndpoint": endpoint});
        bus.call("update_api_destination", &destination).unwrap();
        // The health endpoint still reports success.
        assert_lines(&failures_without_event(&component).await, &[lost]);
    }
    let endpoint = format!("http://127.0.0.1:{}/events", pipeline.history.port());
    let destination = json!({"Name": DESTINATION, "InvocationEndpoint": endpoint});
    bus.call("update_api_destination", &destination).unwrap();
    assert_eq!(failures(&component).await, [""; 0]);

    pipeline.history.server.stop();
    let refused = format!("api: connect: connection refused ({})", local(pipeline.history.port()));
    assert_lines(&failures_without_event(&component).await, &[lost, &refused]);
}
