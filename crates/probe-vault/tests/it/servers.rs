//! The states of a Vault server.

use std::time::Duration;

use serde_json::json;
use stack::vault::{Node, Vault};

use crate::{assert_fails, check, once};
use probe_testkit::run;

#[tokio::test]
async fn each_state_of_a_server_is_reported() {
    let mut node = Node::start(None).unwrap();
    let port = node.port();
    let check = check(port, "");
    assert_fails(&once(&check).await, port, "health: not initialized");
    node.initialize().unwrap();
    once(&check).await.expect_working();
    node.api("PUT", "sys/seal", &json!({})).unwrap();
    assert_fails(&once(&check).await, port, "health: sealed");
    node.unseal().unwrap();
    once(&check).await.expect_working();
    node.server.restart().unwrap();
    assert_fails(&once(&check).await, port, "health: sealed");
    node.unseal().unwrap();
    once(&check).await.expect_working();
    node.server.stop();
    assert_fails(&once(&check).await, port, "connect: connection refused");
    node.server.restart().unwrap();
    node.unseal().unwrap();
    once(&check).await.expect_working();
    node.restart_in_recovery_mode().unwrap();
    let expected = "health: status 404: not Vault, or Vault in recovery mode";
    assert_fails(&once(&check).await, port, expected);
}

#[tokio::test]
async fn a_restart_causes_no_failure() {
    let mut node = Node::start(None).unwrap();
    node.initialize().unwrap();
    let check = check(node.port(), "");
    once(&check).await.expect_working();
    node.server.restart().unwrap();
    node.unseal().unwrap();
    once(&check).await.expect_working();
}

#[tokio::test]
async fn a_standby_is_working_where_it_is_accepted() {
    let mut active = Node::start(None).unwrap();
    active.initialize().unwrap();
    let standby = Node::start_standby(&active).unwrap();
    let port = standby.port();
    let outcome = once(&check(port, "")).await;
    assert_fails(&outcome, port, "health: standby, another node is active");
    once(&check(port, "standby = 'accept'")).await.expect_working();
    once(&check(active.port(), "")).await.expect_working();
}

#[tokio::test]
async fn a_silent_server_times_out_in_the_health_step() {
    let vault = Vault::start().unwrap();
    let check = check(vault.port(), "");
    once(&check).await.expect_working();
    vault.server.pause();
    for _ in 0..2 {
        assert_eq!(run(&check, Duration::from_millis(200)).await.timed_out_step(), "health");
    }
    vault.server.resume();
    once(&check).await.expect_working();
}
