//! The bus itself: it refuses an event, or falls silent.

use std::time::Duration;

use probe_history::KIND;
use probe_testkit::{checks, component, run};
use stack::aws::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use stack::localstack::Localstack;

use crate::stage::{
    PATIENCE, Stage, clickhouse_part, event_bridge_part, failures, impostor, local,
};

/// localstack accepts whatever we can send, so here is what AWS answers when it does not.
#[tokio::test]
async fn an_event_that_the_bus_does_not_accept_is_told_with_the_reason() {
    let (at, asked) = impostor(
        "200 OK\r\nContent-Type: application/x-amz-json-1.1",
        r#"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"NotAuthorizedForSourceException","ErrorMessage":"Not authorized for the source."}]}"#,
    )
    .await;
    let clickhouse = clickhouse_part(stack::clickhouse::shared().unwrap(), "");
    let event_bridge = event_bridge_part(at, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let lines = format!("{clickhouse}{event_bridge}[e2e]\nsource = 'aws.health'\n");
    let all = checks(&component(&KIND, "history", &lines));
    let (_, e2e) = all.iter().find(|(name, _)| name == "e2e").unwrap();
    assert_eq!(
        run(e2e, PATIENCE).await.line(),
        format!(
            "put event: the bus does not accept the event: NotAuthorizedForSourceException: Not authorized for the source ({at})"
        )
    );
    drop(all);
    let asked = asked.await.unwrap();
    assert!(asked.contains("AWSEvents.PutEvents") && asked.contains("aws.health"), "{asked}");
}

#[tokio::test]
async fn a_silent_bus_is_named_by_the_step_that_gets_no_answer() {
    let stage = Stage::start();
    stage.localstack.bus(stage.history.port()).unwrap();
    let component = stage.component();
    assert_eq!(failures(&component).await, [""; 0]);
    stage.localstack.server.pause();
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
            silent.cut_line(),
            format!("{step}: no answer within 300ms ({})", stage.bus_target())
        );
    }
    stage.localstack.server.resume();
    assert_eq!(failures(&component).await, [""; 0]);
}

#[tokio::test]
async fn a_bus_that_is_down_refuses_connections() {
    let mut server = Localstack::start().unwrap();
    let at = local(server.port());
    let lines = event_bridge_part(at, ACCESS_KEY_ID, SECRET_ACCESS_KEY);
    let component = component(&KIND, "history", &lines);
    server.server.stop();
    for (_, check) in checks(&component) {
        let refused = run(&check, PATIENCE).await;
        assert_eq!(refused.line(), format!("connect: connection refused ({at})"));
    }
}
