//! The shared server, with the `AppRole` login that the stack creates.

use std::fs;
use std::net::SocketAddr;
use std::time::Instant;

use probe::config::{Diagnostics, Fields, Node};
use probe::{SharedResources, Steps};
use probe_testkit::{FaultProxy, Hostile, Subject, checks, component_sharing, promises, run};
use probe_vault::KIND;
use vault_client::Session;

use crate::DEADLINE;

/// A credential that the stack wrote to a file for the gateway.
fn credential(name: &str) -> String {
    let file = stack::state().join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn app_role(address: SocketAddr) -> String {
    format!(
        "url = 'http://{address}'\nlogin = 'approle'\nrole_id = '{}'\nsecret_id = '{}'\n",
        credential("role-id"),
        credential("secret-id")
    )
}

#[tokio::test]
async fn the_promises_of_the_contract_are_kept() {
    promises(Subject {
        kind: KIND,
        section: "vault",
        config: Box::new(app_role),
        upstream: stack::vault::shared().unwrap(),
        secrets: vec![credential("role-id"), credential("secret-id")],
        connections: 1,
        hostile: Hostile::http(),
    })
    .await;
}

#[tokio::test]
async fn all_users_of_one_vault_share_a_session_and_a_connection() {
    let proxy = FaultProxy::start(stack::vault::shared().unwrap());
    let shared = SharedResources::default();
    let toml = app_role(proxy.address());
    let accepting = format!("{toml}standby = 'accept'\n");
    let first = component_sharing(&KIND, "vault", &toml, &shared);
    let second = component_sharing(&KIND, "standby", &accepting, &shared);
    let (node, diagnostics) = (Node::parse(&toml).unwrap(), Diagnostics::default());
    let mut fields = Fields::new(String::new(), &node, &diagnostics);
    let session = Session::read_settings(&mut fields, &shared).unwrap();
    for _ in 0..3 {
        for (_, check) in checks(&first).iter().chain(&checks(&second)) {
            run(check, DEADLINE).await.expect_working();
        }
        let path = format!("secret/{}/health", stack::NAMESPACE);
        let secret = session.read(&Steps::new(), &path, Instant::now()).await.unwrap();
        assert_eq!(secret["access_token"].expose(), stack::access_token().unwrap());
    }
    assert_eq!(proxy.counts().accepted, 1);
}
