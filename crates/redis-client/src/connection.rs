//! Opens a connection, sends commands on it and closes it.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike;
use fred::types::Value;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use probe::step::{CONNECT, TLS};
use probe::{Connect, Failure, Secret, Steps};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;

use crate::batcher::Batcher;
use crate::credentials::CredentialSource;
use crate::deployment::{Deployment, HANDSHAKE, Layout};
use crate::{Command, Reply, client, diagnosis, error};

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
        steps.begin(CONNECT);
        let (credentials, reached) = CredentialSource::new(&self.0);
        let client = client::new(&self.0, credentials).map_err(|cause| Failure::new(TLS, cause))?;
        let error = match Connection::open(client, &self.0, steps, reached).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let step = steps.current();
        if error::error_reply(&error).is_some() {
            return Err(error::failure(step, &error));
        }
        let diagnosis = diagnosis::diagnose(&self.0, steps).await;
        Err(diagnosis.unwrap_or_else(|| discovered_server_failure(&self.0, step, &error)))
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.task.is_finished()
    }
}

/// The failure of a server to which the URL's servers refer. The URL's servers themselves are healthy.
fn discovered_server_failure(
    deployment: &Deployment,
    step: &'static str,
    error: &Error,
) -> Failure {
    let cause = error::cause(error);
    let server = match deployment.layout {
        Layout::Cluster => "a node of the cluster",
        Layout::Sentinel { .. } => "the primary that sentinel names",
        Layout::Single => return Failure::new(step, cause),
    };
    if error::is_io(error) {
        return Failure::msg(CONNECT, format!("{server}: {}", cause.text()));
    }
    Failure::new(step, cause)
}

/// An open connection. When it is dropped, the library's task is aborted, which closes all sockets.
pub(crate) struct Connection {
    client: Client,
    task: AbortHandle,
    ended: Shared<BoxFuture<'static, ()>>,
    batcher: Arc<Batcher>,
}

impl Connection {
    async fn open(
        client: Client,
        deployment: &Deployment,
        steps: &Steps,
        mut reached: UnboundedReceiver<&'static str>,
    ) -> Result<Self, Error> {
        let mut ready = pin!(client.wait_for_connect());
        // The future subscribes on its first poll. It is polled before the task starts, since the task may connect at once.
        let early = futures_util::poll!(&mut ready);
        debug_assert!(early.is_pending(), "a client that was not started is not connected");
        let task = client.connect();
        let connection = Self {
            client: client.clone(),
            task: task.abort_handle(),
            ended: task.map(|_| ()).boxed().shared(),
            batcher: Batcher::new(client.clone()),
        };
        let record_steps = async {
            while let Some(step) = reached.recv().await {
                steps.begin(step);
            }
            pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            never = record_steps => match never {},
            result = ready => result?,
        }
        connection.finish_setup(deployment).await?;
        Ok(connection)
    }

    /// Closes the connection that the library opens to discover a cluster. Sends a first command, unless one was sent to authenticate.
    async fn finish_setup(&self, deployment: &Deployment) -> Result<(), Error> {
        let inner = self.client.inner();
        inner.backchannel.check_and_disconnect(inner, None).await;
        if deployment.credentials.password.is_some() || !matches!(deployment.layout, Layout::Single)
        {
            return Ok(());
        }
        // Only the first reply reveals a missing client certificate or a server that is not Redis. An error reply is left to the check.
        let ping = Command::new(HANDSHAKE, "PING", []);
        match self.exchange(0, std::slice::from_ref(&ping)).await.into_iter().next() {
            Some(Err(error)) if error::error_reply(&error).is_none() => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends `commands` to `database` as one pipeline and returns their replies, or the first failure.
    pub(crate) async fn execute(
        &self,
        database: u16,
        commands: &[Command],
    ) -> Result<Vec<Reply>, Failure> {
        let results = self.exchange(database, commands).await;
        // A selected database adds one reply. A lost connection results in a single error for all commands.
        let select = (results.len() == commands.len() + 1).then_some("select");
        let steps = select.into_iter().chain(commands.iter().map(|command| command.step));
        let replies: Result<Vec<_>, _> = steps
            .zip(results)
            .map(|(step, result)| result.map(reply).map_err(|error| error::failure(step, &error)))
            .collect();
        let mut replies = replies?;
        replies.drain(..select.iter().count());
        if replies.len() == commands.len() {
            return Ok(replies);
        }
        Err(Failure::new(HANDSHAKE, error::not_redis().connection_lost()))
    }

    async fn exchange(&self, database: u16, commands: &[Command]) -> Vec<Result<Value, Error>> {
        let operations = commands.iter().map(|command| command.operation.clone()).collect();
        tokio::select! {
            biased;
            replies = self.batcher.exchange(database, operations) => replies,
            // A command sent to a task that has ended would wait forever.
            () = self.ended.clone() => vec![Err(Error::new(ErrorKind::Canceled, ""))],
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn reply(value: Value) -> Reply {
    match value {
        Value::Null => Reply::Nil,
        Value::Integer(number) => Reply::Number(number),
        Value::String(text) => Reply::Text(text.to_string()),
        Value::Bytes(bytes) => Reply::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Array(items) => Reply::List(items.into_iter().map(reply).collect()),
        _ => Reply::Other,
    }
}
