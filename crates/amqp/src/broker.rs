//! The broker of a check, with a cached connection that is shared with other checks.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use probe::config::Fields;
use probe::{CachedConnection, Failure, LoginBackoff, Reconnect, SharedResources, Steps};

use crate::Connection;
use crate::connect_params::{BrokerUrls, ConnectParams};
use crate::connection::Connector;

/// One virtual host of one broker, as one user, at one or more addresses. Checks with equal settings share one connection.
#[derive(Clone)]
pub struct Amqp {
    cached: Arc<CachedConnection<Connector>>,
    target: String,
}

impl Amqp {
    /// Reads the broker from `urls`, the value of `key`, and records errors in `fields`. The names of the gateway's queues begin with `queue_prefix`.
    pub fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        key: &'static str,
        urls: &BrokerUrls,
        tls: &net::TlsSettings,
        queue_prefix: String,
        reconnect: Reconnect,
    ) -> Option<Self> {
        let params = ConnectParams::read(fields, key, urls, tls, queue_prefix)?;
        let target = params.first().to_string();
        let logins = shared.get_or_insert(&params.login_key(), LoginBackoff::default);
        let cached = shared.get_or_insert(&params.identity(reconnect), || {
            CachedConnection::with_logins(Connector(params), reconnect, logins)
        });
        Some(Self { cached, target })
    }

    /// The `host:port` of the broker, the first one if there are several, as in failures.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The name of the virtual host.
    pub fn virtual_host(&self) -> &str {
        &self.params().first().virtual_host
    }

    pub(crate) fn params(&self) -> &ConnectParams {
        &self.cached.connector().0
    }

    /// Runs `work` on the cached connection, or on a new one if there is none or it was lost. A failure on another server than the first names it.
    pub async fn run<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.cached.run(steps, |connection| name_server(connection, steps, &work)).await
    }

    /// The same for `work` that must be done at most once: a silent connection is waited for, and a lost one is a failure.
    pub async fn run_once<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.cached.run_once(steps, |connection| name_server(connection, steps, &work)).await
    }
}

/// Does `work`, and names the server in a failure unless it is the first one.
fn name_server<T, W, F>(
    connection: Arc<Connection>,
    steps: &Steps,
    work: &W,
) -> impl Future<Output = Result<T, Failure>> + Send + use<T, W, F>
where
    W: Fn(Arc<Connection>) -> F,
    F: Future<Output = Result<T, Failure>> + Send,
{
    let other = connection.other_server().map(str::to_owned);
    steps.on_server(other.clone());
    let work = work(connection);
    async move {
        work.await.map_err(|failure| match other {
            Some(server) => failure.in_context(server),
            None => failure,
        })
    }
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp").field("target", &self.target).finish_non_exhaustive()
    }
}
