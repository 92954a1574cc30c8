//! The contract's promises, for each server that the checks use.

use std::net::SocketAddr;

use probe_history::KIND;
use probe_testkit::{Hostile, Subject, promises};
use stack::{HEALTH_PASSWORD, HEALTH_USER, clickhouse};

use crate::pipeline::clickhouse_settings;

async fn keeps_its_promises(
    section: &'static str,
    upstream: SocketAddr,
    secrets: Vec<String>,
    config: impl Fn(SocketAddr) -> String + Send + 'static,
) {
    let (config, hostile) = (Box::new(config), Hostile::http());
    promises(Subject { kind: KIND, section, config, upstream, secrets, connections: 1, hostile })
        .await;
}

#[tokio::test]
async fn the_check_of_clickhouse_keeps_its_promises() {
    let secrets = vec![HEALTH_PASSWORD.to_owned()];
    keeps_its_promises("database", clickhouse::shared().unwrap(), secrets, |address| {
        clickhouse_settings(address, "writes = true\n")
    })
    .await;
}

/// `ClickHouse` stands in for the service, which neither keeps connections open nor checks credentials.
#[tokio::test]
async fn the_check_of_the_health_endpoint_keeps_its_promises() {
    let secrets = vec![HEALTH_PASSWORD.to_owned()];
    keeps_its_promises("service", clickhouse::shared().unwrap(), secrets, |address| {
        format!(
            "[api]\nurl = 'http://{address}/?query=SELECT+65'\ncontains = '65'\n[api.headers]\nX-ClickHouse-User = '{HEALTH_USER}'\nX-ClickHouse-Key = '{HEALTH_PASSWORD}'\n"
        )
    })
    .await;
}

/// The promises of the client for AWS, which these checks share with the check of S3, are also tested by `probe-s3`.
mod slow {
    use probe::{Checks, Kind};
    use stack::moto::Moto;

    use crate::pipeline::{Pipeline, event_bridge_settings, local};

    use super::{Hostile, KIND, Subject, clickhouse_settings, keeps_its_promises, promises};

    /// `files` is left out: `probe-s3` tests the promises of its check.
    #[tokio::test]
    async fn the_checks_of_event_bridge_keep_their_promises() {
        let (moto, keys) = Moto::start_enforcing_permissions(&["events:*"]).unwrap();
        let secrets = vec![keys.id.clone(), keys.secret.clone()];
        keeps_its_promises("stages", local(moto.port()), secrets, move |address| {
            event_bridge_settings(address, &keys.id, &keys.secret)
        })
        .await;
    }

    /// The `e2e` check alone. It begins at the bus, which is behind the proxy.
    const E2E_ONLY: Kind = Kind {
        name: "history",
        build: |section| {
            let Checks::Group(mut checks) = (KIND.build)(section)? else { return None };
            checks.retain(|(name, _)| name.as_str() == "e2e");
            Some(Checks::Group(checks))
        },
    };

    #[tokio::test]
    async fn the_end_to_end_check_keeps_its_promises() {
        let pipeline = Pipeline::start();
        pipeline.localstack.bus(pipeline.history.port()).unwrap();
        let database = local(pipeline.clickhouse.port());
        promises(Subject {
            kind: E2E_ONLY,
            section: "e2e",
            config: Box::new(move |address| {
                let event_bridge = event_bridge_settings(address, "health", "any");
                let clickhouse = clickhouse_settings(database, "");
                format!("{event_bridge}{clickhouse}[e2e]\n")
            }),
            upstream: local(pipeline.localstack.port()),
            secrets: Vec::new(),
            connections: 1,
            hostile: Hostile::http(),
        })
        .await;
    }
}
