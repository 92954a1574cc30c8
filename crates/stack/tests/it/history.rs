//! Tests of the event pipeline: bus, rule, API destination, history service, `ClickHouse`.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use stack::clickhouse::Clickhouse;
use stack::history::{Behaviour, History};
use stack::http::request;
use stack::localstack::{BUS, Bus, Localstack, SOURCES};

#[test]
fn an_event_on_the_bus_becomes_a_row() {
    let clickhouse = Clickhouse::start().unwrap();
    let history = History::start(clickhouse.port(), Behaviour::Works).unwrap();
    let localstack = Localstack::start().unwrap();
    let bus = localstack.bus(history.port()).unwrap();
    let id = put(&bus, SOURCES[1]);
    wait_for(&clickhouse, &format!("{id}\thealth-gateway\tcheck\t{{\"a\": 1}}"));
}

#[test]
fn an_event_of_another_source_is_not_delivered() {
    let clickhouse = Clickhouse::start().unwrap();
    let history = History::start(clickhouse.port(), Behaviour::Works).unwrap();
    let localstack = Localstack::start().unwrap();
    let bus = localstack.bus(history.port()).unwrap();
    put(&bus, "other");
    let id = put(&bus, SOURCES[0]);
    wait_for(&clickhouse, &format!("{id}\tapp\tcheck\t{{\"a\": 1}}"));
}

#[test]
fn the_history_service_is_healthy_if_its_database_is() {
    let mut clickhouse = Clickhouse::start().unwrap();
    let history = History::start(clickhouse.port(), Behaviour::Works).unwrap();
    let address = ([127, 0, 0, 1], history.port()).into();
    let health = || request(address, "GET", "/health", &[], "").unwrap();
    assert_eq!((health().status, health().body.as_str()), (200, r#"{"status": "ok"}"#));
    clickhouse.server.stop();
    assert_eq!(health().status, 503);
    clickhouse.server.restart().unwrap();
    assert_eq!(health().status, 200);
}

#[test]
fn the_history_service_has_the_configured_behaviour() {
    let post = |behaviour, key: &str| {
        let history = History::start(1, behaviour).unwrap();
        let address = ([127, 0, 0, 1], history.port()).into();
        let key = format!("X-Api-Key: {key}");
        request(address, "POST", "/events", &[&key], "{}").unwrap().status
    };
    assert_eq!(post(Behaviour::Works, "wrong"), 401);
    assert_eq!(post(Behaviour::RefusesKeys, stack::history::API_KEY), 401);
    assert_eq!(post(Behaviour::Fails, stack::history::API_KEY), 500);
}

#[test]
fn the_gateways_user_may_only_read_its_database() {
    let clickhouse = Clickhouse::start().unwrap();
    let query = |statement| {
        let address = ([127, 0, 0, 1], clickhouse.port()).into();
        let user = format!("X-ClickHouse-User: {}", stack::HEALTH_USER);
        let key = format!("X-ClickHouse-Key: {}", stack::HEALTH_PASSWORD);
        request(address, "POST", "/", &[&user, &key], statement).unwrap()
    };
    assert_eq!(query("SELECT count() FROM history.events").body, "0\n");
    let write = query("INSERT INTO history.events (id) VALUES ('a')");
    assert!(write.body.contains("readonly"), "{}", write.body);
    clickhouse.make_read_only().unwrap();
    let replica = "SELECT is_readonly FROM system.replicas WHERE table = 'events'";
    assert_eq!(query(replica).body, "1\n");
}

#[expect(clippy::unwrap_used, reason = "a helper of tests, which fail by panicking")]
fn put(bus: &Bus<'_>, source: &str) -> String {
    let event = json!({
        "EventBusName": BUS, "Source": source, "DetailType": "check", "Detail": "{\"a\": 1}",
    });
    let response = bus.call("put_events", &json!({"Entries": [event]})).unwrap();
    response["Entries"][0]["EventId"].as_str().unwrap().to_owned()
}

/// Waits until the table is not empty, and asserts that it contains only this row.
#[expect(clippy::unwrap_used, reason = "a helper of tests, which fail by panicking")]
fn wait_for(clickhouse: &Clickhouse, row: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let rows =
            clickhouse.sql("SELECT id, source, detail_type, detail FROM history.events").unwrap();
        if !rows.is_empty() {
            return assert_eq!(rows, row);
        }
        assert!(Instant::now() < deadline, "timed out without a row");
        thread::sleep(Duration::from_millis(10));
    }
}
