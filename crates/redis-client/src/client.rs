//! The client library's settings: it connects once and says what went wrong; waiting, repeating and reconnecting are ours.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::types::RespVersion;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ConnectionConfig, PerformanceConfig, Server, ServerConfig,
    TcpConfig, TlsConfig, TlsConnector, TlsHostMapping,
};
use fred_socket2::TcpKeepalive;
use probe::Cause;

use crate::credentials::Desk;
use crate::deployment::{Deployment, Layout, Node};
use crate::handshake;

/// The gateway's deadlines are far shorter; this only keeps anything from waiting for ever.
const BACKSTOP: Duration = Duration::from_secs(30);

/// A client that has not connected yet. It holds no credentials: it asks `desk` for them.
pub(crate) fn new(deployment: &Deployment, desk: Desk) -> Result<Client, Cause> {
    let config = Config {
        fail_fast: true,
        // Every server speaks it, and nothing comes unasked.
        version: RespVersion::RESP2,
        server: server(deployment),
        tls: tls(deployment, &desk)?,
        credential_provider: Some(Arc::new(desk)),
        ..Config::default()
    };
    let performance =
        PerformanceConfig { default_command_timeout: BACKSTOP, ..PerformanceConfig::default() };
    let connection = ConnectionConfig {
        connection_timeout: BACKSTOP,
        internal_command_timeout: BACKSTOP,
        tcp: tcp(),
        // Being sent on to another node of a cluster counts as an attempt; a broken connection is never retried, since there is no policy for it.
        max_command_attempts: if matches!(deployment.layout, Layout::Cluster) { 3 } else { 1 },
        // It would need the right to `CLUSTER INFO`; a key in a cluster that is down says the same.
        disable_cluster_health_check: true,
        ..ConnectionConfig::default()
    };
    Ok(Client::new(config, Some(performance), Some(connection), None))
}

/// The options that `net` sets on its own sockets.
fn tcp() -> TcpConfig {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    TcpConfig { nodelay: Some(true), keepalive: Some(keepalive), ..TcpConfig::default() }
}

fn server(deployment: &Deployment) -> ServerConfig {
    let mut hosts: Vec<_> = deployment.nodes.iter().map(address).collect();
    match &deployment.layout {
        Layout::Single => ServerConfig::Centralized { server: hosts.swap_remove(0) },
        Layout::Cluster => {
            ServerConfig::Clustered { hosts, policy: ClusterDiscoveryPolicy::default() }
        }
        Layout::Sentinel { service, .. } => ServerConfig::Sentinel {
            hosts,
            service_name: service.clone(),
            username: None,
            password: None,
        },
    }
}

/// The library resolves a host with its brackets, but verifies a certificate without them.
fn address(node: &Node) -> Server {
    let mut server = Server::new(node.host.clone(), node.port);
    server.tls_server_name = Some(node.bare_host().into());
    server
}

fn tls(deployment: &Deployment, desk: &Desk) -> Result<Option<TlsConfig>, Cause> {
    let Some(settings) = &deployment.tls else {
        return Ok(None);
    };
    let config = settings.client_config(net::Verification::Full)?;
    let config = handshake::announced(&config, desk.reached.clone());
    let connector = TlsConnector::Rustls(tokio_rustls::TlsConnector::from(config));
    Ok(Some(TlsConfig { connector, hostnames: TlsHostMapping::None }))
}
