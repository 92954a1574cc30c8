//! What a check holds of its broker: the connection that it shares with others.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use probe::config::{Fields, Url};
use probe::{CachedConnection, Failure, SharedResources, Steps};

use crate::Connection;
use crate::connection::Connector;
use crate::place::Place;

/// One virtual host of one broker, as one user. Everything that names the same shares one connection to it.
#[derive(Clone)]
pub struct Amqp {
    kept: Arc<CachedConnection<Connector>>,
    target: String,
}

impl Amqp {
    /// The broker that `url` names, which stands under `key`, with our own queues named as `queue_prefix` says; what is wrong is noted in `fields`.
    pub fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        key: &'static str,
        url: &Url,
        settings: &tls::Settings,
        queue_prefix: String,
    ) -> Option<Self> {
        let place = Place::read(fields, key, url, settings, queue_prefix)?;
        let target = place.target.clone();
        let kept =
            shared.get_or_insert(&place.identity(), || CachedConnection::new(Connector(place)));
        Some(Self { kept, target })
    }

    /// The broker's `host:port`, as failures name it.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Where it is, and as whom we appear there.
    pub(crate) fn place(&self) -> &Place {
        &self.kept.connector().0
    }

    /// Does `work` on the kept connection, or on a fresh one if there is none or it turns out lost.
    pub async fn run<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        self.kept.run(steps, work).await
    }
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp").field("target", &self.target).finish_non_exhaustive()
    }
}
