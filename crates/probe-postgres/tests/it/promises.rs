//! What every probe promises.

use probe_postgres::KIND;
use probe_testkit::{Subject, promises};
use stack::HEALTH_PASSWORD;
use stack::postgres::shared;

use crate::url;

async fn check_promises(more: &'static str, connections: usize) {
    promises(Subject {
        kind: KIND,
        section: "postgres",
        config: Box::new(move |address| format!("url = '{}'\n{more}", url(address.port()))),
        upstream: shared().unwrap(),
        secrets: vec![HEALTH_PASSWORD.to_owned()],
        connections,
    })
    .await;
}

#[tokio::test]
async fn on_a_kept_connection() {
    check_promises("", 1).await;
}

#[tokio::test]
async fn on_fresh_connections() {
    check_promises("connection = 'fresh'", 0).await;
}
