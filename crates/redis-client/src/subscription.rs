//! A connection that receives the messages of channels.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt as _;
use probe::{Cause, Failure, Steps};
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use redis::{RedisConnectionInfo, RedisError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::command::pipeline;
use crate::deployment::{Credentials, Deployment, Layout, Node};
use crate::node_connection::{connect, login};
use crate::stream::{BoundedStream, StreamState};
use crate::{error, sentinel};

const SUBSCRIBE: &str = "subscribe";

/// More messages than any connection receives.
const ANY_NUMBER: u64 = u64::MAX / 2;

/// Receives the messages of some channels. The connection is closed when this is dropped.
///
/// In a cluster, each node receives what is published on any other.
pub struct Subscription {
    sink: PubSubSink,
    messages: PubSubStream,
    stream: Arc<StreamState>,
}

impl Subscription {
    /// Connects to a server of the deployment, and subscribes to `channels`.
    pub(crate) async fn open(
        deployment: &Deployment,
        steps: &Steps,
        channels: &[String],
    ) -> Result<Self, Failure> {
        match &deployment.layout {
            Layout::Single => {
                Self::on_node(deployment, &deployment.nodes[0], steps, channels).await
            }
            Layout::Sentinel { service, credentials } => {
                let primary = sentinel::primary(deployment, service, credentials, steps).await?;
                Self::on_node(deployment, &primary, steps, channels).await
            }
            Layout::Cluster => {
                let open = |node, steps: Arc<Steps>| async move {
                    Self::on_node(deployment, node, &steps, channels).await
                };
                net::first_answer(&deployment.nodes, steps, open).await
            }
        }
    }

    async fn on_node(
        deployment: &Deployment,
        node: &Node,
        steps: &Steps,
        channels: &[String],
    ) -> Result<Self, Failure> {
        let Deployment { tls, credentials, .. } = deployment;
        let stream = connect(steps, node, tls.as_ref()).await?;
        let (mut stream, state) = BoundedStream::new(stream);
        state.expect_replies(ANY_NUMBER);
        steps.begin(credentials.step());
        authenticate(&mut stream, credentials).await.map_err(|failure| match state.end() {
            Some(end) => Failure::new(credentials.step(), end),
            None => failure,
        })?;
        let failure = |step, failed: RedisError| {
            let cause = state.end().unwrap_or_else(|| match failed.code() {
                Some(code) => Cause::msg(format!("{code} {}", failed.detail().unwrap_or_default())),
                None => error::closed(),
            });
            Failure::new(step, cause)
        };
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let opened = PubSub::new(&info, stream).await;
        let opened = opened.map_err(|error| failure(credentials.step(), error))?;
        let (mut sink, messages) = opened.split();
        steps.begin(SUBSCRIBE);
        sink.subscribe(channels).await.map_err(|error| failure(SUBSCRIBE, error))?;
        Ok(Self { sink, messages, stream: state })
    }

    /// Subscribes to another channel as well.
    pub async fn add(&mut self, channel: &str) -> Result<(), Failure> {
        let added = self.sink.subscribe(channel).await;
        added.map_err(|_| Failure::new(SUBSCRIBE, self.end()))
    }

    /// The content of the next message, or the failure that has ended the connection.
    pub async fn next(&mut self) -> Result<Vec<u8>, Failure> {
        let message = self.messages.next().await;
        let message = message.ok_or_else(|| Failure::new(SUBSCRIBE, self.end()))?;
        Ok(message.get_payload_bytes().to_owned())
    }

    fn end(&self) -> Cause {
        self.stream.end().unwrap_or_else(error::closed)
    }
}

/// Logs in, if there are credentials. The library would do that too, but drops the server's reply if that is an error.
async fn authenticate(
    stream: &mut BoundedStream,
    credentials: &Credentials,
) -> Result<(), Failure> {
    let Some(command) = login(credentials) else { return Ok(()) };
    let closed = |_: io::Error| Failure::new(command.step, error::closed());
    stream.write_all(&pipeline([&command]).get_packed_pipeline()).await.map_err(closed)?;
    let mut reply = Vec::new();
    while reply.last() != Some(&b'\n') {
        reply.push(stream.read_u8().await.map_err(closed)?);
    }
    let reply = redis::parse_redis_value(&reply);
    let reply = reply.map_err(|_| Failure::new(command.step, error::not_redis()))?;
    error::check_reply(command.step, reply).map(drop)
}
