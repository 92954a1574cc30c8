//! The contract's promises, for each server that the checks ask.

use std::net::SocketAddr;

use probe::{Checks, Kind};
use probe_history::KIND;
use probe_testkit::{Subject, promises};
use stack::moto::Moto;
use stack::{HEALTH_PASSWORD, HEALTH_USER, clickhouse};

use crate::stage::{Stage, clickhouse_part, event_bridge_part, local};

async fn keeps_its_promises(
    section: &'static str,
    upstream: SocketAddr,
    secrets: Vec<String>,
    config: impl Fn(SocketAddr) -> String + Send + 'static,
) {
    let config = Box::new(config);
    promises(Subject { kind: KIND, section, config, upstream, secrets, connections: 1 }).await;
}

#[tokio::test]
async fn the_check_of_clickhouse_keeps_its_promises() {
    let secrets = vec![HEALTH_PASSWORD.to_owned()];
    keeps_its_promises("database", clickhouse::shared().unwrap(), secrets, |address| {
        clickhouse_part(address, "writes = true\n")
    })
    .await;
}

/// `ClickHouse` stands in for the service, which neither keeps connections nor asks who wants to know.
#[tokio::test]
async fn the_check_of_the_api_keeps_its_promises() {
    let secrets = vec![HEALTH_PASSWORD.to_owned()];
    keeps_its_promises("service", clickhouse::shared().unwrap(), secrets, |address| {
        format!(
            "[api]\nurl = 'http://{address}/?query=SELECT+65'\ncontains = '65'\n[api.headers]\nX-ClickHouse-User = '{HEALTH_USER}'\nX-ClickHouse-Key = '{HEALTH_PASSWORD}'\n"
        )
    })
    .await;
}

/// The files are those of `probe-s3`, which keeps the promises for them.
#[tokio::test]
async fn the_checks_of_event_bridge_keep_their_promises() {
    let (moto, keys) = Moto::start_checking(&["events:*"]).unwrap();
    let secrets = vec![keys.id.clone(), keys.secret.clone()];
    keeps_its_promises("links", local(moto.port()), secrets, move |address| {
        event_bridge_part(address, &keys.id, &keys.secret)
    })
    .await;
}

/// The check of the whole way alone: it begins at the bus, and there is the proxy.
const WAY: Kind = Kind {
    name: "history",
    build: |section| {
        let Checks::Group(mut checks) = (KIND.build)(section)? else { return None };
        checks.retain(|(name, _)| name.as_str() == "e2e");
        Some(Checks::Group(checks))
    },
};

#[tokio::test]
async fn the_check_of_the_whole_way_keeps_its_promises() {
    let stage = Stage::start();
    stage.localstack.bus(stage.history.port()).unwrap();
    let database = local(stage.clickhouse.port());
    promises(Subject {
        kind: WAY,
        section: "way",
        config: Box::new(move |address| {
            let event_bridge = event_bridge_part(address, "health", "any");
            let clickhouse = clickhouse_part(database, "");
            format!("{event_bridge}{clickhouse}[e2e]\n")
        }),
        upstream: local(stage.localstack.port()),
        secrets: Vec::new(),
        connections: 1,
    })
    .await;
}
