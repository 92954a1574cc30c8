//! A cluster of real nodes, both complete and with a node or slots missing.

use stack::redis::Redis;

use crate::support::{check, execute, failure};

const SETTINGS: &[&str] =
    &["cluster-enabled yes", "cluster-node-timeout 500", "cluster-announce-ip 127.0.0.1"];

fn url(node: &Redis) -> String {
    format!("url = 'redis-cluster://127.0.0.1:{}'", node.port())
}

/// A cluster of one node that has every slot.
fn single_node() -> Redis {
    let node = Redis::start(SETTINGS).unwrap();
    node.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    node
}

/// The number of a node's clients, without the one that sends this command.
fn clients(node: &Redis) -> usize {
    node.ask(&["CLIENT", "LIST", "TYPE", "normal"]).unwrap().lines().count() - 1
}

#[tokio::test]
async fn a_cluster_works_over_one_connection_to_each_node() {
    let nodes = [(); 3].map(|()| Redis::start(SETTINGS).unwrap());
    let addresses = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port()));
    let arguments = ["--cluster", "create"].into_iter().chain(addresses.iter().map(String::as_str));
    let arguments: Vec<_> = arguments.chain(["--cluster-yes"]).collect();
    nodes[0].ask(&arguments).unwrap();
    for node in &nodes {
        node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    }
    let check = check(&url(&nodes[0]));
    for _ in 0..30 {
        execute(&check).await.expect_working();
    }
    assert_eq!(nodes.each_ref().map(clients), [1, 1, 1]);

    let [first, second, mut third] = nodes;
    third.server.stop();
    first.wait_for(&["CLUSTER", "INFO"], "cluster_state:fail").unwrap();
    // The failure is that of the lost node, or of another node that reports that the cluster is down.
    assert!(!execute(&check).await.is_working());
    assert_eq!(
        failure(&url(&first)).await,
        format!("connect: a node of the cluster: connection refused (127.0.0.1:{})", first.port())
    );
    third.server.restart().unwrap();
    for node in [&first, &second, &third] {
        node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    }
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn a_cluster_with_missing_slots_is_down() {
    let node = single_node();
    let check = check(&url(&node));
    execute(&check).await.expect_working();
    node.ask(&["CLUSTER", "DELSLOTSRANGE", "0", "1"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:fail").unwrap();
    let line = execute(&check).await.line().to_owned();
    assert_eq!(line, format!("write: CLUSTERDOWN The cluster is down (127.0.0.1:{})", node.port()));
    node.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "1"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn a_server_without_cluster_support_is_reported() {
    let server = Redis::start(&[]).unwrap();
    let line = execute(&check(&url(&server))).await.line().to_owned();
    assert_eq!(
        line,
        format!(
            "handshake: ERR This instance has cluster support disabled (127.0.0.1:{})",
            server.port()
        )
    );
}
