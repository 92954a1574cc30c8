//! Failures of the bus: it rejects an event, is silent, or is down.

use std::time::Duration;

use probe_history::KIND;
use probe_testkit::{checks, component, run};
use stack::aws::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use stack::localstack::Localstack;

use crate::pipeline::{
    Pipeline, TIMEOUT, clickhouse_settings, event_bridge_settings, failures, impostor, local,
};

/// localstack accepts every event, so an impostor sends AWS's response.
#[tokio::test]
async fn a_rejected_event_is_reported_with_the_reason() {
    let (at, received) = impostor(
        "200 OK\r\nContent-Type: application/x-amz-json-1.1",
        r#"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"NotAuthorizedForSourceException","ErrorMessage":"Not authorized for the source."}]}"#,
    )
    .await;
    let clickhouse = clickhouse_settings(stack::clickhouse::shared().unwrap(), "");
    let event_bridge = event_bridge_settings(at, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let lines = format!("{clickhouse}{event_bridge}[e2e]\nsource = 'aws.health'\n");
    let all = checks(&component(&KIND, "history", &lines));
    let (_, e2e) = all.iter().find(|(name, _)| name == "e2e").unwrap();
    assert_eq!(
        run(e2e, TIMEOUT).await.line(),
        format!(
            "put event: the bus rejected the event: NotAuthorizedForSourceException: Not authorized for the source ({at})"
        )
    );
    drop(all);
    let received = received.await.unwrap();
    assert!(
        received.contains("AWSEvents.PutEvents") && received.contains("aws.health"),
        "{received}"
    );
}

#[tokio::test]
async fn a_silent_bus_times_out_in_the_step_of_each_check() {
    let pipeline = Pipeline::start();
    pipeline.localstack.bus(pipeline.history.port()).unwrap();
    let component = pipeline.component();
    assert_eq!(failures(&component).await, [""; 0]);
    pipeline.localstack.server.pause();
    for (name, step) in [
        ("e2e", "put event"),
        ("event_bridge.api_destination", "api destination"),
        ("event_bridge.connection", "connection"),
        ("event_bridge.credentials", "bus"),
        ("event_bridge.rule", "rule"),
        ("files", "list"),
    ] {
        let all = checks(&component);
        let (_, check) = all.iter().find(|(known, _)| known == name).unwrap();
        let silent = run(check, Duration::from_millis(300)).await;
        assert_eq!(
            silent.timed_out_line(),
            format!("{step}: no answer within 300ms ({})", pipeline.bus_target())
        );
    }
    pipeline.localstack.server.resume();
    assert_eq!(failures(&component).await, [""; 0]);
}

#[tokio::test]
async fn a_bus_that_is_down_fails_in_the_connect_step() {
    let mut server = Localstack::start().unwrap();
    let at = local(server.port());
    let lines = event_bridge_settings(at, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let component = component(&KIND, "history", &lines);
    server.server.stop();
    for (_, check) in checks(&component) {
        let refused = run(&check, TIMEOUT).await;
        assert_eq!(refused.line(), format!("connect: connection refused ({at})"));
    }
}
