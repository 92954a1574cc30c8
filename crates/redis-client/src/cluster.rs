//! A cluster: one connection to each primary, to which commands are routed by their keys.
//!
//! The protocol: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.

pub(crate) mod slots;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use probe::{Failure, Steps};
use redis::Value;
use tokio::time::Instant;

use self::slots::{SlotMap, slot};
use crate::deployment::{Deployment, HANDSHAKE, Node};
use crate::node_connection::NodeConnection;
use crate::{Canary, Command, error};

/// How often a command is sent to another node. While a slot moves, two nodes may redirect to each other.
const MAX_REDIRECTIONS: usize = 5;

/// Connections to all primaries of a cluster.
pub(crate) struct Cluster {
    deployment: Arc<Deployment>,
    primaries: Vec<Arc<Primary>>,
    slots: SlotMap,
    /// Whether a slot has moved since `slots` was read.
    is_outdated: AtomicBool,
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
        let deployment = deployment.clone();
        Ok(Self { deployment, primaries, slots, is_outdated: AtomicBool::default() })
    }

    /// Whether the connection to any primary has ended, or another topology has to be read.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
            || self.primaries.iter().any(|primary| primary.connection.is_closed())
    }

    /// Whether every primary has sent something since then.
    pub(crate) fn has_received_since(&self, since: Instant) -> bool {
        self.primaries.iter().all(|primary| primary.connection.has_received_since(since))
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
        let mut others = Vec::new();
        for (command, mut reply) in commands.iter().zip(replies) {
            let mut other: Option<Arc<Primary>> = None;
            for _ in 0..MAX_REDIRECTIONS {
                let asked = other.as_deref().unwrap_or(primary);
                let Some(to) = Redirection::read(&reply, &asked.label.node) else { break };
                if !to.is_asking {
                    self.is_outdated.store(true, Ordering::Relaxed);
                }
                let next = self.primary(to.node, &mut others, &steps).await?;
                reply = next.execute(command, to.is_asking).await?;
                other = Some(next);
            }
            let asked = other.as_deref().unwrap_or(primary);
            let reply = error::check_reply_to(command, reply);
            checked.push(reply.map_err(|failure| asked.label.name(failure))?);
        }
        Ok(checked)
    }

    /// The node to which a command is redirected. A node that had no slot when the topology was read is not in there; the connections to such nodes are in `others`.
    async fn primary(
        &self,
        node: Node,
        others: &mut Vec<Arc<Primary>>,
        steps: &Arc<Steps>,
    ) -> Result<Arc<Primary>, Failure> {
        let mut known = self.primaries.iter().chain(&*others);
        if let Some(known) = known.find(|primary| primary.label.node == node) {
            return Ok(known.clone());
        }
        let label = Label::new(&self.deployment, &node);
        let opened = Primary::open(&self.deployment, label, None, steps.clone()).await?;
        others.push(opened.clone());
        Ok(opened)
    }

    /// The primary for a command: that of its key, or the first for a command without a key.
    fn route(&self, command: &Command) -> usize {
        command.key().map_or(0, |key| self.serving(key))
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
    ) -> Result<Arc<Self>, Failure> {
        let connection = if let Some(connection) = known {
            connection
        } else {
            let tls = deployment.tls.as_ref();
            let opened = NodeConnection::open(&steps, &label.node, tls, &deployment.credentials);
            opened.await.map_err(|failure| label.name(failure))?
        };
        Ok(Arc::new(Self { label, connection }))
    }

    /// Executes one command that was redirected here, after `ASKING` if its slot is still being moved.
    async fn execute(&self, command: &Command, is_asking: bool) -> Result<Value, Failure> {
        let asking = is_asking.then(|| Command::new(command.step, "ASKING", []));
        let commands: Vec<_> = asking.into_iter().chain([command.clone()]).collect();
        let replies = self.connection.exchange(0, &commands).await;
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

/// Where a command is to be sent instead.
struct Redirection {
    node: Node,
    /// Whether the slot is still being moved there (`ASK`), and has not been (`MOVED`).
    is_asking: bool,
}

impl Redirection {
    /// Reads the reply of the node `asked`.
    fn read(reply: &Value, asked: &Node) -> Option<Self> {
        let Value::ServerError(error) = reply else { return None };
        let is_asking = match error.code() {
            "ASK" => true,
            "MOVED" => false,
            _ => return None,
        };
        let (host, port) = error.details()?.split(' ').nth(1)?.rsplit_once(':')?;
        let host = if matches!(host, "" | "?") { asked.bare_host() } else { host };
        Some(Self { node: Node::new(host, port.parse().ok()?), is_asking })
    }
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
