//! Opens a connection to a deployment, and sends commands on it.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use probe::{Connect, Connecting, Failure, Secret, Steps};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Layout};
use crate::node_connection::NodeConnection;
use crate::role::RoleCheck;
use crate::{Canary, Command, Reply, sentinel};

/// Opens connections to one deployment.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    deployment: Arc<Deployment>,
    /// See [`RoleCheck::new`].
    closed: Arc<AtomicU8>,
}

impl Connector {
    pub(crate) fn new(deployment: Deployment) -> Self {
        Self { deployment: Arc::new(deployment), closed: Arc::default() }
    }

    pub(crate) fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The key that distinguishes the deployment from others.
    pub(crate) fn identity(&self) -> Secret {
        self.deployment.identity()
    }
}

impl Connect for Connector {
    type Connection = Connection;

    fn connect<'a>(&'a self, steps: &'a Steps) -> Connecting<'a, Connection> {
        Box::pin(async move {
            let deployment = &*self.deployment;
            match &deployment.layout {
                Layout::Single => {
                    let Deployment { nodes, tls, credentials, .. } = deployment;
                    let node = NodeConnection::open(steps, &nodes[0], tls.as_ref(), credentials);
                    Ok(Connection::Single(node.await?, RoleCheck::new(self.closed.clone())))
                }
                Layout::Sentinel { service, credentials } => {
                    let node = sentinel::connect(deployment, service, credentials, steps).await?;
                    Ok(Connection::Single(node, RoleCheck::proven()))
                }
                Layout::Cluster => {
                    Cluster::connect(&self.deployment, steps).await.map(Connection::Cluster)
                }
            }
        })
    }

    fn is_closed(connection: &Connection) -> bool {
        match connection {
            Connection::Single(node, _) => node.is_closed(),
            Connection::Cluster(cluster) => cluster.is_closed(),
        }
    }

    fn has_received_since(connection: &Connection, since: Instant) -> bool {
        match connection {
            Connection::Single(node, _) => node.has_received_since(since),
            Connection::Cluster(cluster) => cluster.has_received_since(since),
        }
    }
}

/// An open connection to a deployment.
pub(crate) enum Connection {
    Single(NodeConnection, RoleCheck),
    Cluster(Cluster),
}

impl Connection {
    /// A canary for each server that stores keys with this prefix.
    pub(crate) fn canaries(&self, prefix: &str) -> Vec<Canary> {
        match self {
            Self::Single(..) => vec![Canary::new(prefix)],
            Self::Cluster(cluster) => cluster.canaries(prefix),
        }
    }

    /// Names the server of the canary in a failure, unless there is only one server.
    pub(crate) fn name(&self, canary: &Canary, failure: Failure) -> Failure {
        match self {
            Self::Single(..) => failure,
            Self::Cluster(cluster) => cluster.name(canary, failure),
        }
    }

    /// Fails if a server that accepts writes may lose them because of its role.
    pub(crate) async fn verify_role(&self, steps: &Steps) -> Result<(), Failure> {
        match self {
            Self::Single(node, role) => role.run(steps, node).await,
            // A replica in a cluster refuses writes.
            Self::Cluster(_) => Ok(()),
        }
    }

    /// Sends `commands` to `database` and returns their replies, or the first failure.
    pub(crate) async fn execute(
        &self,
        steps: &Steps,
        database: u16,
        commands: &[Command],
    ) -> Result<Vec<Reply>, Failure> {
        let replies = match self {
            Self::Single(node, _) => node.execute(database, commands).await?,
            Self::Cluster(cluster) => cluster.execute(steps, commands).await?,
        };
        Ok(replies.into_iter().map(Reply::from).collect())
    }
}
