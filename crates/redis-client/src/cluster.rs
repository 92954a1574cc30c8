//! A cluster: one connection to each primary, to which commands are routed by their keys.
//!
//! The protocol: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

pub(crate) mod slots;

use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use probe::{Failure, Steps};
use redis::Value;
use tokio::time::Instant;

use self::slots::{SlotMap, slot};
use crate::deployment::{Deployment, HANDSHAKE, Node};
use crate::node_connection::NodeConnection;
use crate::{Canary, Command, error};

/// Connections to all primaries of a cluster.
pub(crate) struct Cluster {
    deployment: Arc<Deployment>,
    primaries: Vec<Primary>,
    slots: SlotMap,
}

struct Primary {
    label: Label,
    connection: NodeConnection,
}

/// A node in failures, which name it unless the check's target already does.
#[derive(Clone)]
struct Label {
    node: Node,
    /// Whether this is the server that the check's target names.
    is_target: bool,
}

impl Cluster {
    /// Learns the topology from the first node of the URL that answers, and connects to every primary.
    pub(crate) async fn connect(
        deployment: &Arc<Deployment>,
        steps: &Steps,
    ) -> Result<Self, Failure> {
        let ask = |node, steps| slots_of(deployment, node, steps);
        let (seed, connection, slots) = net::first_answer(&deployment.nodes, steps, ask).await?;
        if let Some(missing) = slots.uncovered() {
            return Err(Failure::msg("cluster", missing));
        }
        let mut known = Some(connection);
        let opened = slots.primaries().iter().map(|node| {
            let known = if node == seed { known.take() } else { None };
            let (label, own) = (Label::new(deployment, node), Arc::new(Steps::new()));
            (label.clone(), own.clone(), Primary::open(deployment, label, known, own))
        });
        let primaries = try_all(steps, opened).await?;
        Ok(Self { deployment: deployment.clone(), primaries, slots })
    }

    /// Whether the connection to any primary has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.primaries.iter().any(|primary| primary.connection.is_closed())
    }

    /// Whether every primary has sent something since then.
    pub(crate) fn is_heard_since(&self, since: Instant) -> bool {
        self.primaries.iter().all(|primary| primary.connection.is_heard_since(since))
    }

    /// A canary for each primary, or a single one if only one primary can have keys with this prefix.
    pub(crate) fn canaries(&self, prefix: &str) -> Vec<Canary> {
        self.slots.canaries(prefix)
    }

    /// Names the primary of the canary in a failure.
    pub(crate) fn name(&self, canary: &Canary, failure: Failure) -> Failure {
        self.primaries[self.serving(canary.key())].label.name(failure)
    }

    /// Sends each command to the primary that serves its key, as one pipeline for each primary.
    pub(crate) async fn execute(
        &self,
        steps: &Steps,
        commands: &[Command],
    ) -> Result<Vec<Value>, Failure> {
        let routes: Vec<_> = commands.iter().map(|command| self.route(command)).collect();
        let exchanges = self.primaries.iter().enumerate().map(|(index, primary)| {
            let routed = routes.iter().zip(commands).filter(|(route, _)| **route == index);
            let commands: Vec<_> = routed.map(|(_, command)| command.clone()).collect();
            let own = Arc::new(Steps::new());
            own.begin(commands.first().map_or(HANDSHAKE, |command| command.step));
            (primary.label.clone(), own.clone(), self.exchange(own, primary, commands))
        });
        let replies = try_all(steps, exchanges).await?;
        let mut replies: Vec<_> = replies.into_iter().map(Vec::into_iter).collect();
        let next = |(route, command): (&usize, &Command)| {
            let reply = replies.get_mut(*route).and_then(Iterator::next);
            reply.ok_or_else(|| Failure::new(command.step, error::not_redis()))
        };
        routes.iter().zip(commands).map(next).collect()
    }

    async fn exchange(
        &self,
        steps: Arc<Steps>,
        primary: &Primary,
        commands: Vec<Command>,
    ) -> Result<Vec<Value>, Failure> {
        let Some(first) = commands.first() else { return Ok(Vec::new()) };
        let replies = primary.connection.exchange(0, &commands).await;
        let replies =
            replies.map_err(|cause| primary.label.name(Failure::new(first.step, cause)))?;
        let mut checked = Vec::with_capacity(replies.len());
        let mut importing = Vec::new();
        for (command, reply) in commands.iter().zip(replies) {
            let (primary, reply) = match redirection(&reply, &primary.label.node) {
                Some(node) => {
                    let other = self.importing(node, &mut importing, &steps).await?;
                    (other, other.ask(command).await?)
                }
                None => (primary, reply),
            };
            let reply = error::check_reply_to(command, reply);
            checked.push(reply.map_err(|failure| primary.label.name(failure))?);
        }
        Ok(checked)
    }

    /// The node to which a slot is moved. A node that has no slot yet is not in the topology; the connections to such nodes are in `others`.
    async fn importing<'a>(
        &'a self,
        node: Node,
        others: &'a mut Vec<Primary>,
        steps: &Arc<Steps>,
    ) -> Result<&'a Primary, Failure> {
        if let Some(known) = self.primaries.iter().find(|primary| primary.label.node == node) {
            return Ok(known);
        }
        let opened = others.iter().position(|other| other.label.node == node);
        let at = opened.unwrap_or(others.len());
        if at == others.len() {
            let label = Label::new(&self.deployment, &node);
            let primary = Primary::open(&self.deployment, label, None, steps.clone());
            others.push(primary.await?);
        }
        Ok(&others[at])
    }

    /// The primary for a command: that of its key, or the first for a command without a key.
    fn route(&self, command: &Command) -> usize {
        command.arguments.first().map_or(0, |key| self.serving(key))
    }

    fn serving(&self, key: &str) -> usize {
        self.slots.primary(slot(key.as_bytes())).unwrap_or_default()
    }
}

impl Primary {
    async fn open(
        deployment: &Deployment,
        label: Label,
        known: Option<NodeConnection>,
        steps: Arc<Steps>,
    ) -> Result<Self, Failure> {
        let connection = if let Some(connection) = known {
            connection
        } else {
            let tls = deployment.tls.as_ref();
            let opened = NodeConnection::open(&steps, &label.node, tls, &deployment.credentials);
            opened.await.map_err(|failure| label.name(failure))?
        };
        Ok(Self { label, connection })
    }

    /// Executes one command for a slot that is being moved here.
    async fn ask(&self, command: &Command) -> Result<Value, Failure> {
        let asking = Command::new(command.step, "ASKING", []);
        let replies = self.connection.exchange(0, &[asking, command.clone()]).await;
        let failed = |cause| self.label.name(Failure::new(command.step, cause));
        replies.map_err(failed)?.pop().ok_or_else(|| failed(error::not_redis()))
    }
}

impl Label {
    fn new(deployment: &Deployment, node: &Node) -> Self {
        Self { node: node.clone(), is_target: deployment.nodes.first() == Some(node) }
    }

    /// Adds the node to a failure.
    fn name(&self, failure: Failure) -> Failure {
        if self.is_target { failure } else { failure.in_context(self) }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster node {}", self.node)
    }
}

/// The node that an `ASK` redirection of the node `asked` names.
fn redirection(reply: &Value, asked: &Node) -> Option<Node> {
    let Value::ServerError(error) = reply else { return None };
    let details = error.details().filter(|_| error.code() == "ASK")?;
    let (host, port) = details.split(' ').nth(1)?.rsplit_once(':')?;
    let host = if matches!(host, "" | "?") { asked.bare_host() } else { host };
    Some(Node::new(host, port.parse().ok()?))
}

/// Does work on several nodes at once, and returns all results, or the failure of the first node that has one.
/// Until then, `steps` are those of the first node that has not finished.
async fn try_all<T, F>(
    steps: &Steps,
    work: impl IntoIterator<Item = (Label, Arc<Steps>, F)>,
) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut futures = FuturesOrdered::new();
    let mut nodes = Vec::new();
    for (label, own, future) in work {
        futures.push_back(future);
        nodes.push((label, own));
    }
    let mut results = Vec::with_capacity(nodes.len());
    for (label, own) in nodes {
        if label.is_target {
            steps.follow(own);
        } else {
            steps.follow_in_context(own, label.to_string());
        }
        let Some(result) = futures.next().await else { break };
        results.push(result?);
    }
    Ok(results)
}

/// The node, a connection to it, and the topology that it knows.
async fn slots_of<'a>(
    deployment: &Deployment,
    node: &'a Node,
    steps: Arc<Steps>,
) -> Result<(&'a Node, NodeConnection, SlotMap), Failure> {
    let tls = deployment.tls.as_ref();
    let connection = NodeConnection::open(&steps, node, tls, &deployment.credentials).await?;
    let command = Command::new(HANDSHAKE, "CLUSTER", ["SLOTS"]);
    steps.begin(command.step);
    let reply = connection.execute(0, &[command]).await?.pop();
    let slots = reply.and_then(|reply| SlotMap::parse(&reply, node));
    let slots = slots.ok_or_else(|| Failure::new(HANDSHAKE, error::not_redis()))?;
    Ok((node, connection, slots))
}
