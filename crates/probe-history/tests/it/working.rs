//! A whole pipeline, and what an event leaves in it.

use probe_history::KIND;
use probe_testkit::{checks, component};
use serde_json::Value;

use crate::stage::{Stage, failures};

#[tokio::test]
async fn every_link_works_and_each_event_is_marked_as_the_gateways() {
    let stage = Stage::start();
    stage.localstack.bus(stage.history.port()).unwrap();
    let component = stage.component();
    let names: Vec<_> = checks(&component).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "clickhouse",
            "e2e",
            "event_bridge.api_destination",
            "event_bridge.connection",
            "event_bridge.credentials",
            "event_bridge.rule",
            "api",
            "files"
        ]
    );
    for _ in 0..2 {
        assert_eq!(failures(&component).await, [""; 0]);
    }
    let rows = stage
        .clickhouse
        .sql("SELECT source, detail_type, detail FROM history.events FORMAT JSONEachRow")
        .unwrap();
    let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row["source"], "health-gateway");
        assert_eq!(row["detail_type"], "health check");
        let detail: Value = serde_json::from_str(row["detail"].as_str().unwrap()).unwrap();
        assert_eq!(detail["written_by"], "health-gateway");
    }
}

#[tokio::test]
async fn a_history_may_keep_the_id_that_stands_in_the_detail() {
    let stage = Stage::start();
    stage.localstack.bus(stage.history.port()).unwrap();
    let own = "MATERIALIZED extract(detail, '\"id\": \"([^\"]+)\"')";
    let column = format!("ALTER TABLE history.events ADD COLUMN own String {own}");
    stage.clickhouse.sql(&column).unwrap();
    let lines = stage.lines().replace("[e2e]\n", "[e2e]\nid_column = 'own'\n");
    assert_eq!(failures(&component(&KIND, "history", &lines)).await, [""; 0]);
    let ids = stage.clickhouse.sql("SELECT id = own, length(own) FROM history.events").unwrap();
    assert_eq!(ids, "0\t36");
}
