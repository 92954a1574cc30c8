//! A cluster: one connection to each primary, to which commands are routed by their keys.
//!
//! The protocol: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

mod slots;

use futures_util::future::{join_all, try_join_all};
use probe::{Failure, Steps};
use redis::Value;

use self::slots::{SlotMap, slot};
use crate::deployment::{Deployment, HANDSHAKE, Node};
use crate::node_connection::NodeConnection;
use crate::{Command, error};

/// Connections to all primaries of a cluster.
pub(crate) struct Cluster {
    primaries: Vec<Primary>,
    slots: SlotMap,
}

struct Primary {
    node: Node,
    connection: NodeConnection,
    /// Whether this is the server that the check's target names.
    is_target: bool,
}

impl Cluster {
    /// Learns the topology from the first node of the URL that answers, and connects to every primary.
    pub(crate) async fn connect(deployment: &Deployment, steps: &Steps) -> Result<Self, Failure> {
        let (seed, connection, slots) = discover(deployment, steps).await?;
        if let Some(missing) = slots.uncovered() {
            return Err(Failure::msg("cluster", format!("{missing} are served by no node")));
        }
        let mut known = Some(connection);
        let opened = slots.primaries().iter().map(|node| {
            let known = if node == seed { known.take() } else { None };
            Primary::open(deployment, node, known, steps)
        });
        let primaries = try_join_all(opened.collect::<Vec<_>>()).await?;
        Ok(Self { primaries, slots })
    }

    /// Whether the connection to any primary has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.primaries.iter().any(|primary| primary.connection.is_closed())
    }

    /// Sends each command to the primary that serves its key, as one pipeline for each primary.
    pub(crate) async fn execute(&self, commands: &[Command]) -> Result<Vec<Value>, Failure> {
        let routes: Vec<_> = commands.iter().map(|command| self.route(command)).collect();
        let pipelines = self.primaries.iter().enumerate().map(async |(index, primary)| {
            let routed = routes.iter().zip(commands).filter(|(route, _)| **route == index);
            let commands: Vec<_> = routed.map(|(_, command)| command.clone()).collect();
            let replies = self.exchange(primary, &commands).await?;
            Ok::<_, Failure>(replies.into_iter())
        });
        let mut replies = Vec::new();
        for pipeline in join_all(pipelines).await {
            replies.push(pipeline?);
        }
        let next = |(route, command): (&usize, &Command)| {
            let reply = replies.get_mut(*route).and_then(Iterator::next);
            reply.ok_or_else(|| Failure::new(command.step, error::not_redis()))
        };
        routes.iter().zip(commands).map(next).collect()
    }

    async fn exchange(
        &self,
        primary: &Primary,
        commands: &[Command],
    ) -> Result<Vec<Value>, Failure> {
        let Some(first) = commands.first() else { return Ok(Vec::new()) };
        let replies = primary.connection.exchange(0, commands).await;
        let replies = replies.map_err(|cause| primary.name(Failure::new(first.step, cause)))?;
        let mut checked = Vec::with_capacity(replies.len());
        for (command, reply) in commands.iter().zip(replies) {
            let (primary, reply) = match self.asking(&reply) {
                Some(other) => (other, other.ask(command).await?),
                None => (primary, reply),
            };
            let reply = error::check_reply(command.step, reply);
            checked.push(reply.map_err(|failure| primary.name(failure))?);
        }
        Ok(checked)
    }

    /// The primary to which an `ASK` redirection refers, while a slot is moved there.
    fn asking(&self, reply: &Value) -> Option<&Primary> {
        let Value::ServerError(error) = reply else { return None };
        let details = error.details().filter(|_| error.code() == "ASK")?;
        let address = details.split(' ').nth(1)?;
        self.primaries.iter().find(|primary| primary.node.to_string() == address)
    }

    /// The primary for a command: that of its key, or the first for a command without a key.
    fn route(&self, command: &Command) -> usize {
        let key = command.arguments.first();
        key.and_then(|key| self.slots.primary(slot(key.as_bytes()))).unwrap_or_default()
    }
}

impl Primary {
    async fn open(
        deployment: &Deployment,
        node: &Node,
        known: Option<NodeConnection>,
        steps: &Steps,
    ) -> Result<Self, Failure> {
        let is_target = deployment.nodes.first() == Some(node);
        let connection = if let Some(connection) = known {
            connection
        } else {
            let tls = deployment.tls.as_ref();
            let opened = NodeConnection::open(steps, node, tls, &deployment.credentials).await;
            opened.map_err(|failure| name(node, is_target, failure))?
        };
        Ok(Self { node: node.clone(), connection, is_target })
    }

    /// Executes one command for a slot that is being moved here.
    async fn ask(&self, command: &Command) -> Result<Value, Failure> {
        let asking = Command::new(command.step, "ASKING", []);
        let replies = self.connection.exchange(0, &[asking, command.clone()]).await;
        let failed = |cause| self.name(Failure::new(command.step, cause));
        replies.map_err(failed)?.pop().ok_or_else(|| failed(error::not_redis()))
    }

    fn name(&self, failure: Failure) -> Failure {
        name(&self.node, self.is_target, failure)
    }
}

/// Adds the node to a failure, unless the check's target already is this node.
fn name(node: &Node, is_target: bool, failure: Failure) -> Failure {
    if is_target { failure } else { failure.in_context(format_args!("cluster node {node}")) }
}

/// The first node of the URL that answers, its connection, and the topology, or the failure of the first node.
async fn discover<'a>(
    deployment: &'a Deployment,
    steps: &Steps,
) -> Result<(&'a Node, NodeConnection, SlotMap), Failure> {
    let mut first = None;
    for node in &deployment.nodes {
        match slots_of(deployment, node, steps).await {
            Ok((connection, slots)) => return Ok((node, connection, slots)),
            Err(failure) => first = first.or(Some(failure)),
        }
    }
    Err(first.unwrap_or_else(|| Failure::msg(HANDSHAKE, "no node is configured")))
}

async fn slots_of(
    deployment: &Deployment,
    node: &Node,
    steps: &Steps,
) -> Result<(NodeConnection, SlotMap), Failure> {
    let tls = deployment.tls.as_ref();
    let connection = NodeConnection::open(steps, node, tls, &deployment.credentials).await?;
    let command = Command::new(HANDSHAKE, "CLUSTER", ["SLOTS"]);
    steps.begin(command.step);
    let reply = connection.execute(0, &[command]).await?.pop();
    let slots = reply.and_then(|reply| SlotMap::parse(&reply, node));
    let slots = slots.ok_or_else(|| Failure::new(HANDSHAKE, error::not_redis()))?;
    Ok((connection, slots))
}
