//! A cluster of real nodes, both complete and with a node or slots missing.

use probe_testkit::{TlsFiles, checks, component, impostor, run};
use stack::redis::Redis;

use crate::support::{MANY, SHORT_TIMEOUT, check, check_of, execute, failure};

const SETTINGS: &[&str] =
    &["cluster-enabled yes", "cluster-node-timeout 500", "cluster-announce-ip 127.0.0.1"];

fn url(node: &Redis) -> String {
    format!("url = 'redis-cluster://127.0.0.1:{}'", node.port())
}

/// A cluster of one node that has every slot.
fn single_node() -> Redis {
    let node = Redis::start(SETTINGS).unwrap();
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    node
}

/// The number of a node's clients, without the one that sends this command.
fn clients(node: &Redis) -> usize {
    node.command(&["CLIENT", "LIST", "TYPE", "normal"]).unwrap().lines().count() - 1
}

/// A cluster of three primaries, in the order of their slots.
fn three_nodes(settings: &[&str]) -> [Redis; 3] {
    let nodes = [(); 3].map(|()| Redis::start(&[SETTINGS, settings].concat()).unwrap());
    let addresses = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port()));
    let arguments = ["--cluster", "create"].into_iter().chain(addresses.iter().map(String::as_str));
    let arguments: Vec<_> = arguments.chain(["--cluster-yes"]).collect();
    nodes[0].command(&arguments).unwrap();
    wait_until_ok(&nodes);
    nodes
}

fn wait_until_ok(nodes: &[Redis]) {
    for node in nodes {
        node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    }
}

/// A failure on the last node, with the first one as the target.
fn on_the_last(nodes: &[Redis; 3], step: &str, cause: &str) -> String {
    let (first, last) = (nodes[0].port(), nodes[2].port());
    format!("{step}: cluster node 127.0.0.1:{last}: {cause} (127.0.0.1:{first})")
}

#[tokio::test]
async fn each_run_proves_every_primary_and_names_the_one_that_fails() {
    let mut nodes = three_nodes(&["cluster-require-full-coverage no"]);
    let check = check(&url(&nodes[0]));
    for _ in 0..5 {
        execute(&check).await.expect_working();
    }
    assert_eq!(nodes.each_ref().map(clients), [1, 1, 1]);

    nodes[2].command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    let full = "OOM command not allowed when used memory > 'maxmemory'";
    for _ in 0..5 {
        assert_eq!(execute(&check).await.line(), on_the_last(&nodes, "write", full));
    }
    nodes[2].command(&["CONFIG", "SET", "maxmemory", "0"]).unwrap();
    execute(&check).await.expect_working();

    nodes[2].server.pause();
    for step in ["write", "handshake"] {
        let silent = on_the_last(&nodes, step, "no answer within 300ms");
        assert_eq!(run(&check, SHORT_TIMEOUT).await.timed_out_line(), silent);
    }
    nodes[2].server.resume();
    wait_until_ok(&nodes);
    execute(&check).await.expect_working();

    nodes[2].server.stop();
    for _ in 0..5 {
        let refused = on_the_last(&nodes, "connect", "connection refused");
        assert_eq!(execute(&check).await.line(), refused);
    }
    nodes[2].server.restart().unwrap();
    wait_until_ok(&nodes);
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn the_lost_primary_of_a_cluster_that_is_down_is_named() {
    let mut nodes = three_nodes(&[]);
    let check = check(&url(&nodes[0]));
    execute(&check).await.expect_working();
    nodes[2].server.pause();
    nodes[0].wait_for(&["CLUSTER", "INFO"], "cluster_state:fail").unwrap();
    // The first node replies `CLUSTERDOWN` to the first run.
    for _ in 0..2 {
        let silent = on_the_last(&nodes, "handshake", "no answer within 300ms");
        assert_eq!(run(&check, SHORT_TIMEOUT).await.timed_out_line(), silent);
    }
    nodes[2].server.stop();
    let refused = on_the_last(&nodes, "connect", "connection refused");
    assert_eq!(execute(&check).await.line(), refused);
    nodes[2].server.restart().unwrap();
    wait_until_ok(&nodes);
    execute(&check).await.expect_working();
}

#[tokio::test]
async fn the_missing_slots_of_a_cluster_that_is_down_are_named() {
    let node = single_node();
    let check = check(&url(&node));
    execute(&check).await.expect_working();
    node.command(&["CLUSTER", "DELSLOTS", "0", "7"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:fail").unwrap();
    let line = execute(&check).await.line().to_owned();
    let missing = "cluster: slots 0, 7 are served by no node";
    assert_eq!(line, format!("{missing} (127.0.0.1:{})", node.port()));
    node.command(&["CLUSTER", "ADDSLOTS", "0", "7"]).unwrap();
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
    execute(&check_of(&server)).await.expect_working();
}

#[tokio::test]
async fn a_key_is_found_while_its_slot_moves_and_after_it_has_moved() {
    let [source, target] = [(); 2].map(|()| Redis::start(SETTINGS).unwrap());
    // The claim of the node with the higher epoch counts. With equal ones, the source could take the slot back.
    for (node, epoch) in [(&source, "1"), (&target, "2")] {
        node.command(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]).unwrap();
    }
    source.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    let port = target.port().to_string();
    source.command(&["CLUSTER", "MEET", "127.0.0.1", &port]).unwrap();
    for node in [&source, &target] {
        node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    }
    let ids = [&source, &target].map(|node| node.command(&["CLUSTER", "MYID"]).unwrap());
    let slot = source.command(&["CLUSTER", "KEYSLOT", "where"]).unwrap();
    let other = (slot.parse::<u16>().unwrap() - 1).to_string();
    source.command(&["SET", "where", "here"]).unwrap();
    let toml = format!("here = 'redis-cluster://127.0.0.1:{}'", source.port());
    let [(_, check)] = &checks(&component(&MANY, "cache", &toml))[..] else { panic!("one check") };
    execute(check).await.expect_working();

    // Until another slot has been moved to it, the target is not in the topology.
    for is_known in [false, true] {
        if is_known {
            for node in [&target, &source] {
                node.command(&["CLUSTER", "SETSLOT", &other, "NODE", &ids[1]]).unwrap();
            }
            source.wait_for(&["CLUSTER", "SLOTS"], &port).unwrap();
        } else {
            target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]).unwrap();
            source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]).unwrap();
            source.command(&["MIGRATE", "127.0.0.1", &port, "where", "0", "5000"]).unwrap();
        }
        assert!(source.command(&["GET", "where"]).unwrap().starts_with("ASK "));
        execute(check).await.expect_working();
        let new = checks(&component(&MANY, "cache", &toml));
        execute(&new[0].1).await.expect_working();
    }

    for node in [&target, &source] {
        node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]).unwrap();
    }
    assert!(source.command(&["GET", "where"]).unwrap().starts_with("MOVED "));
    execute(check).await.expect_working();

    // A node that does not know of the move yet, which any client may ask.
    let (host, port) = ("127.0.0.1", source.port());
    let outdated = format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n{host}\r\n:{port}\r\n");
    let seed = impostor(vec![b"+PONG\r\n".to_vec(), outdated.into_bytes()]).await;
    let new = checks(&component(&MANY, "cache", &format!("here = 'redis-cluster://{seed}'")));
    for _ in 0..2 {
        execute(&new[0].1).await.expect_working();
    }
}

#[tokio::test]
async fn slots_that_no_node_serves_are_reported_when_a_connection_is_opened() {
    let node = Redis::start(&[SETTINGS, &["cluster-require-full-coverage no"]].concat()).unwrap();
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "5461", "16383"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    assert_eq!(
        failure(&url(&node)).await,
        format!("cluster: slots 0-5460 are served by no node (127.0.0.1:{})", node.port())
    );
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "5460"]).unwrap();
    execute(&check(&url(&node))).await.expect_working();
}

#[tokio::test]
async fn a_node_that_announces_no_address_has_the_host_that_was_asked() {
    let settings = [
        &SETTINGS[..2],
        &["cluster-announce-hostname ''", "cluster-preferred-endpoint-type hostname"],
    ];
    let node = Redis::start(&settings.concat()).unwrap();
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    let slots = node.command(&["CLUSTER", "SLOTS"]).unwrap();
    assert!(slots.lines().any(|line| line == "?" || line.is_empty()), "{slots}");
    execute(&check(&url(&node))).await.expect_working();
}

#[tokio::test]
async fn the_certificate_of_a_node_is_verified_for_the_node_s_own_host() {
    let files = TlsFiles::new("127.0.0.1");
    let port = stack::free_port().unwrap();
    let tls = files.redis_settings(port);
    let announce = [
        "cluster-announce-hostname localhost",
        "cluster-preferred-endpoint-type hostname",
        "tls-cluster yes",
    ];
    let settings: Vec<_> =
        SETTINGS.iter().copied().chain(announce).chain(tls.iter().map(String::as_str)).collect();
    let node = Redis::start(&settings).unwrap();
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    let toml = format!("url = 'rediss-cluster://127.0.0.1:{port}'\n{}", files.authority.toml());
    assert_eq!(
        failure(&toml).await,
        format!(
            "tls: cluster node localhost:{port}: certificate is not valid for host localhost (127.0.0.1:{port})"
        )
    );
}
