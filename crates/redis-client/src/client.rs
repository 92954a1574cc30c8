//! Configures the client library: one connection attempt, no retries, no reconnects.

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

use crate::credentials::CredentialSource;
use crate::deployment::{Deployment, Layout, Node};
use crate::tls_step;

/// The library's own timeout. A check's deadline is far shorter, so this only prevents an endless wait.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns a client that has not connected yet and gets its credentials from `credentials`.
pub(crate) fn new(deployment: &Deployment, credentials: CredentialSource) -> Result<Client, Cause> {
    let config = Config {
        fail_fast: true,
        // Every server supports RESP2, which has no unsolicited messages.
        version: RespVersion::RESP2,
        server: server(deployment),
        tls: tls(deployment, &credentials)?,
        credential_provider: Some(Arc::new(credentials)),
        ..Config::default()
    };
    let performance = PerformanceConfig {
        default_command_timeout: LIBRARY_TIMEOUT,
        ..PerformanceConfig::default()
    };
    let connection = ConnectionConfig {
        connection_timeout: LIBRARY_TIMEOUT,
        internal_command_timeout: LIBRARY_TIMEOUT,
        tcp: tcp(),
        // A redirection in a cluster counts as an attempt. A lost connection is never retried, since no reconnect policy is set.
        max_command_attempts: if matches!(deployment.layout, Layout::Cluster) { 3 } else { 1 },
        // The health check would need the permission for `CLUSTER INFO`. In a cluster that is down, a command on a key fails for the same reason.
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

/// The library resolves an IPv6 address with its brackets, but verifies a certificate without them.
fn address(node: &Node) -> Server {
    let mut server = Server::new(node.host.clone(), node.port);
    server.tls_server_name = Some(node.bare_host().into());
    server
}

fn tls(
    deployment: &Deployment,
    credentials: &CredentialSource,
) -> Result<Option<TlsConfig>, Cause> {
    let Some(settings) = &deployment.tls else {
        return Ok(None);
    };
    let config = settings.client_config(net::Verification::Full)?;
    let config = tls_step::report_handshakes(&config, credentials.steps.clone());
    let connector = TlsConnector::Rustls(tokio_rustls::TlsConnector::from(config));
    Ok(Some(TlsConfig { connector, hostnames: TlsHostMapping::None }))
}
