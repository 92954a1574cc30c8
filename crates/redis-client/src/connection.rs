//! Opens a connection to a deployment, and sends commands on it.

use std::sync::Arc;

use probe::{Connect, Failure, Secret, Steps};

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Layout};
use crate::node_connection::NodeConnection;
use crate::{Canary, Command, Reply, sentinel};

/// Opens connections to one deployment.
#[derive(Clone, Debug)]
pub(crate) struct Connector(Arc<Deployment>);

impl Connector {
    pub(crate) fn new(deployment: Deployment) -> Self {
        Self(Arc::new(deployment))
    }

    pub(crate) fn deployment(&self) -> &Deployment {
        &self.0
    }

    /// The key that distinguishes the deployment from others.
    pub(crate) fn identity(&self) -> Secret {
        self.0.identity()
    }
}

impl Connect for Connector {
    type Connection = Connection;

    async fn connect(&self, steps: &Steps) -> Result<Connection, Failure> {
        match &self.0.layout {
            Layout::Single => {
                let Deployment { nodes, tls, credentials, .. } = &*self.0;
                let node = NodeConnection::open(steps, &nodes[0], tls.as_ref(), credentials);
                node.await.map(Connection::Single)
            }
            Layout::Sentinel { service, credentials } => {
                sentinel::connect(&self.0, service, credentials, steps)
                    .await
                    .map(Connection::Single)
            }
            Layout::Cluster => Cluster::connect(&self.0, steps).await.map(Connection::Cluster),
        }
    }

    fn is_closed(connection: &Connection) -> bool {
        match connection {
            Connection::Single(node) => node.is_closed(),
            Connection::Cluster(cluster) => cluster.is_closed(),
        }
    }
}

/// An open connection to a deployment.
pub(crate) enum Connection {
    Single(NodeConnection),
    Cluster(Cluster),
}

impl Connection {
    /// A canary for each server that stores keys with this prefix.
    pub(crate) fn canaries(&self, prefix: &str) -> Vec<Canary> {
        match self {
            Self::Single(_) => vec![Canary::new(prefix)],
            Self::Cluster(cluster) => cluster.canaries(prefix),
        }
    }

    /// Names the server of the canary in a failure, unless there is only one server.
    pub(crate) fn name(&self, canary: &Canary, failure: Failure) -> Failure {
        match self {
            Self::Single(_) => failure,
            Self::Cluster(cluster) => cluster.name(canary, failure),
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
            Self::Single(node) => node.execute(database, commands).await?,
            Self::Cluster(cluster) => cluster.execute(steps, commands).await?,
        };
        Ok(replies.into_iter().map(Reply::from).collect())
    }
}
