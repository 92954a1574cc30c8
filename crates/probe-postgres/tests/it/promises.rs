//! The promises of the contract.

use probe_postgres::KIND;
use probe_testkit::{Hostile, Subject, promises};
use stack::HEALTH_PASSWORD;
use stack::postgres::shared;

use crate::url;

#[tokio::test]
async fn the_probe_keeps_its_promises() {
    promises(Subject {
        kind: KIND,
        section: "postgres",
        config: Box::new(|address| format!("url = '{}'\n", url(address.port()))),
        upstream: shared().unwrap(),
        secrets: vec![HEALTH_PASSWORD.to_owned()],
        connections: 1,
        hostile: Hostile::postgres(),
    })
    .await;
}
