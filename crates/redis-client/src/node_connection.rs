//! A connection to one server, on which concurrent callers send pipelines.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use probe::{Cause, Connecting, Failure, Secret, Steps, step};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value};
use tokio::task::AbortHandle;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::command::pipeline;
use crate::deployment::{Credentials, HANDSHAKE, Node, Tls};
use crate::stream::{BoundedStream, StreamState};
use crate::{Command, error};

/// The step in which a database is selected.
const SELECT: &str = "select";

/// An authenticated connection to one server. When it is dropped, the library's task is aborted, which closes the socket.
pub(crate) struct NodeConnection {
    library: MultiplexedConnection,
    task: AbortHandle,
    /// Cancelled when the library's task has ended.
    ended: CancellationToken,
    stream: Arc<StreamState>,
    /// Whether a database other than 0 has been selected. From then on, every pipeline selects its own database.
    must_select: AtomicBool,
    /// Held while a pipeline is put into the library's queue.
    order: Mutex<()>,
}

impl NodeConnection {
    /// Connects to `node` and authenticates.
    pub(crate) async fn open(
        steps: &Steps,
        node: &Node,
        tls: Option<&Tls>,
        credentials: &Credentials,
    ) -> Result<Self, Failure> {
        let stream = connect(steps, node, tls).await?;
        steps.begin(credentials.step());
        let (stream, state) = BoundedStream::new(stream);
        // Every server supports RESP2, which has no unsolicited messages.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        // The check has a timeout of its own.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let (library, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
            .await
            .map_err(|error| Failure::new(HANDSHAKE, error))?;
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let drive = async move {
            driver.await;
            drop(end);
        };
        let task = tokio::spawn(drive).abort_handle();
        let connection = Self {
            library,
            task,
            ended,
            stream: state,
            must_select: AtomicBool::default(),
            order: Mutex::default(),
        };
        connection.handshake(credentials).await?;
        Ok(connection)
    }

    /// Sends the first command: only its reply reveals a refused client certificate or a server that is not Redis.
    async fn handshake(&self, credentials: &Credentials) -> Result<(), Failure> {
        let step = credentials.step();
        let login = login(credentials);
        let is_login = login.is_some();
        let command = login.unwrap_or_else(|| Command::new(step, "PING", []));
        let replies = self.exchange(0, std::slice::from_ref(&command)).await;
        let reply = replies.map_err(|cause| Failure::new(step, cause))?.pop();
        match reply {
            // An error reply to `PING` is left to the check, which may do without that command.
            Some(Value::ServerError(error))
                if !is_login && !error::refuses_clients(&error::text(&error)) =>
            {
                Ok(())
            }
            Some(reply) => error::check_reply(step, reply).map(drop),
            None => Err(Failure::new(step, error::not_redis())),
        }
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.task.is_finished() || self.stream.end().is_some()
    }

    /// Whether the server has sent something since then.
    pub(crate) fn has_received_since(&self, since: Instant) -> bool {
        self.stream.last_received().is_after(since)
    }

    /// Sends `commands` to `database` as one pipeline and returns their replies, or the failure of the first command that fails.
    pub(crate) async fn execute(
        &self,
        database: u16,
        commands: &[Command],
    ) -> Result<Vec<Value>, Failure> {
        let first = commands.first().map_or(HANDSHAKE, |command| command.step);
        let mut replies =
            self.exchange(database, commands).await.map_err(|cause| Failure::new(first, cause))?;
        if replies.len() > commands.len() {
            let selected = replies.remove(0);
            // A server that refuses every command, such as a busy one, gives the same reply to each.
            let step = if replies.first() == Some(&selected) { first } else { SELECT };
            error::check_reply(step, selected)?;
        }
        commands
            .iter()
            .zip(replies)
            .map(|(command, reply)| error::check_reply_to(command, reply))
            .collect()
    }

    /// Sends `commands` to `database` as one pipeline and returns their replies, errors included.
    /// If the pipeline selects the database first, there is one more reply.
    pub(crate) async fn exchange(
        &self,
        database: u16,
        commands: &[Command],
    ) -> Result<Vec<Value>, Cause> {
        let mut library = self.library.clone();
        let mut exchange = pin!(unconstrained(async {
            let select = self.select(database);
            let pipeline = pipeline(select.iter().chain(commands));
            let expected = self.stream.expect_replies(pipeline.len() as u64);
            let mut exchange = pin!(library.send_packed_commands(&pipeline, 0, pipeline.len()));
            let replies = tokio::select! {
                biased;
                replies = &mut exchange => Some(replies),
                // A pipeline that is put into the library's queue while its task ends stays there.
                () = self.ended.cancelled() => exchange.now_or_never(),
            };
            replies.and_then(Result::ok).ok_or_else(|| self.stream.end_for(&expected))
        }));
        // The first poll puts the pipeline into the library's queue.
        // The lock keeps the pipelines there in the order in which `select` was called for them.
        let polled = poll_fn(|context| {
            let _order = self.order.lock();
            Poll::Ready(exchange.as_mut().poll(context))
        });
        match polled.await {
            Poll::Ready(replies) => replies,
            Poll::Pending => exchange.await,
        }
    }

    /// The command that selects `database`, unless no other database has ever been selected.
    fn select(&self, database: u16) -> Option<Command> {
        if database != 0 {
            self.must_select.store(true, Ordering::Relaxed);
        }
        let must_select = self.must_select.load(Ordering::Relaxed);
        must_select.then(|| Command::new(SELECT, "SELECT", [&database.to_string()]))
    }
}

/// The command that logs in, if there is a password.
pub(crate) fn login(credentials: &Credentials) -> Option<Command> {
    let password = credentials.password.as_ref().map(Secret::expose)?;
    let step = credentials.step();
    Some(match credentials.username.as_deref() {
        Some(user) => Command::new(step, "AUTH", [user, password]),
        None => Command::new(step, "AUTH", [password]),
    })
}

/// Opens a connection to `node`, on which nothing has been sent.
pub(crate) fn connect<'a>(
    steps: &'a Steps,
    node: &'a Node,
    tls: Option<&'a Tls>,
) -> Connecting<'a, net::Stream> {
    Box::pin(async move {
        if let Some(path) = node.socket() {
            return net::connect_unix(steps, path).await.map(net::Stream::Unix);
        }
        let stream = net::connect_tcp(steps, &node.host, node.port).await?;
        let Some(tls) = tls else { return Ok(net::Stream::Plain(stream)) };
        let settings = steps.run(step::TLS, tls.pem_files.read(&tls.settings)).await?;
        let stream = net::start_tls(steps, &node.host, &settings, tls.verification, stream).await?;
        Ok(net::Stream::Tls(Box::new(stream)))
    })
}

impl Drop for NodeConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pipeline_that_is_never_sent_ends_with_the_connection() {
        let (client, _server) = tokio::net::UnixStream::pair().expect("two sockets");
        let (stream, state) = BoundedStream::new(net::Stream::Unix(client));
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let opened = MultiplexedConnection::new_with_config(&info, stream, config);
        let (library, _idle) = opened.await.expect("a connection");
        let ended = CancellationToken::new();
        let connection = NodeConnection {
            library,
            task: tokio::spawn(async {}).abort_handle(),
            ended: ended.clone(),
            stream: state,
            must_select: AtomicBool::default(),
            order: Mutex::default(),
        };
        let commands = [Command::new("ping", "PING", [])];
        let mut exchange = pin!(connection.exchange(0, &commands));
        assert!(futures_util::poll!(exchange.as_mut()).is_pending());
        ended.cancel();
        assert!(exchange.await.expect_err("no reply").is_connection_lost());
    }
}
