//! A working pipeline, and the events that the checks write.

use probe_history::KIND;
use probe_testkit::{checks, component};
use serde_json::Value;

use crate::pipeline::{Pipeline, failures};

#[tokio::test]
async fn every_stage_works_and_each_event_is_attributed_to_the_gateway() {
    let pipeline = Pipeline::start();
    pipeline.localstack.bus(pipeline.history.port()).unwrap();
    let component = pipeline.component();
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
    let rows = pipeline
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
async fn a_history_may_store_the_id_in_the_events_detail() {
    let pipeline = Pipeline::start();
    pipeline.localstack.bus(pipeline.history.port()).unwrap();
    let own = "MATERIALIZED extract(detail, '\"id\": \"([^\"]+)\"')";
    let column = format!("ALTER TABLE history.events ADD COLUMN own String {own}");
    pipeline.clickhouse.sql(&column).unwrap();
    let lines = pipeline.lines().replace("[e2e]\n", "[e2e]\nid_column = 'own'\n");
    assert_eq!(failures(&component(&KIND, "history", &lines)).await, [""; 0]);
    let ids = pipeline.clickhouse.sql("SELECT id = own, length(own) FROM history.events").unwrap();
    assert_eq!(ids, "0\t36");
}
