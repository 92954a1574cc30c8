//! The way of an event: bus, rule, API destination, history service, `ClickHouse`.

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
fn an_event_of_another_source_stays_on_the_bus() {
    let clickhouse = Clickhouse::start().unwrap();
    let history = History::start(clickhouse.port(), Behaviour::Works).unwrap();
    let localstack = Localstack::start().unwrap();
    let bus = localstack.bus(history.port()).unwrap();
    put(&bus, "other");
    let id = put(&bus, SOURCES[0]);
    wait_for(&clickhouse, &format!("{id}\tapp\tcheck\t{{\"a\": 1}}"));
}

#[test]
fn the_history_service_is_as_well_as_its_database() {
    let mut clickhouse = Clickhouse::start().unwrap();
    let history = History::start(clickhouse.port(), Behaviour::Works).unwrap();
    let address = ([127, 0, 0, 1], history.port()).into();
    let ask = || request(address, "GET", "/health", &[], "").unwrap();
    assert_eq!((ask().status, ask().body.as_str()), (200, r#"{"status": "ok"}"#));
    clickhouse.server.stop();
    assert_eq!(ask().status, 503);
    clickhouse.server.restart().unwrap();
    assert_eq!(ask().status, 200);
}

#[test]
fn the_history_service_refuses_and_fails_as_told() {
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
fn the_reader_reads_one_database_and_writes_nothing() {
    let clickhouse = Clickhouse::start().unwrap();
    let ask = |statement| {
        let address = ([127, 0, 0, 1], clickhouse.port()).into();
        let user = format!("X-ClickHouse-User: {}", stack::HEALTH_USER);
        let key = format!("X-ClickHouse-Key: {}", stack::HEALTH_PASSWORD);
        request(address, "POST", "/", &[&user, &key], statement).unwrap()
    };
    assert_eq!(ask("SELECT count() FROM history.events").body, "0\n");
    let write = ask("INSERT INTO history.events (id) VALUES ('a')");
    assert!(write.body.contains("readonly"), "{}", write.body);
    clickhouse.make_read_only().unwrap();
    let replica = "SELECT is_readonly FROM system.replicas WHERE table = 'events'";
    assert_eq!(ask(replica).body, "1\n");
}

#[expect(clippy::unwrap_used, reason = "a helper of tests, which fail by panicking")]
fn put(bus: &Bus<'_>, source: &str) -> String {
    let event = json!({
        "EventBusName": BUS, "Source": source, "DetailType": "check", "Detail": "{\"a\": 1}",
    });
    let answer = bus.call("put_events", &json!({"Entries": [event]})).unwrap();
    answer["Entries"][0]["EventId"].as_str().unwrap().to_owned()
}

/// Waits until there are rows, which must be this one.
#[expect(clippy::unwrap_used, reason = "a helper of tests, which fail by panicking")]
fn wait_for(clickhouse: &Clickhouse, row: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let rows =
            clickhouse.sql("SELECT id, source, detail_type, detail FROM history.events").unwrap();
        if !rows.is_empty() {
            return assert_eq!(rows, row);
        }
        assert!(Instant::now() < deadline, "the event never arrived");
        thread::sleep(Duration::from_millis(10));
    }
}
