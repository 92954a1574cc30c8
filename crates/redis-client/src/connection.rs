//! The connection itself: how it is opened, what is asked on it, and how it ends.

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
use probe::{Connect, Failure, Secret, Steps};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::AbortHandle;

use crate::credentials::Desk;
use crate::deployment::{Deployment, Layout};
use crate::outbox::Outbox;
use crate::{Answer, Command, client, diagnosis, words};

/// Opens connections to one deployment.
#[derive(Clone, Debug)]
pub(crate) struct Connector(Arc<Deployment>);

impl Connector {
    pub(crate) fn new(deployment: Deployment) -> Self {
        Self(Arc::new(deployment))
    }

    /// Where it connects to, and as whom.
    pub(crate) fn deployment(&self) -> &Deployment {
        &self.0
    }

    /// What distinguishes the deployment from others.
    pub(crate) fn identity(&self) -> Secret {
        self.0.identity()
    }
}

impl Connect for Connector {
    type Connection = Connection;

    async fn connect(&self, steps: &Steps) -> Result<Connection, Failure> {
        steps.begin("connect");
        let (desk, reached) = Desk::new(&self.0);
        let client = client::new(&self.0, desk).map_err(|cause| Failure::new("tls", cause))?;
        let opened = Connection::open(client, &self.0, steps, reached).await;
        let error = match opened {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let step = steps.current();
        if words::reply(&error).is_some() {
            return Err(words::failure(step, &error));
        }
        let diagnosis = diagnosis::diagnose(&self.0, steps).await;
        Err(diagnosis.unwrap_or_else(|| elsewhere(&self.0, step, &error)))
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.task.is_finished()
    }
}

/// The failure when the servers that the URL names are well: then it is another one that they lead to.
fn elsewhere(deployment: &Deployment, step: &'static str, error: &Error) -> Failure {
    let cause = words::broken(error);
    let who = match deployment.layout {
        Layout::Cluster => "a node of the cluster",
        Layout::Sentinel { .. } => "the primary that sentinel names",
        Layout::Single => return Failure::new(step, cause),
    };
    if words::is_input_output(error) {
        return Failure::msg("connect", format!("{who}: {}", cause.text()));
    }
    Failure::new(step, cause)
}

/// An open connection. The task behind it, and with it every socket, ends when this is dropped.
pub(crate) struct Connection {
    client: Client,
    task: AbortHandle,
    ended: Shared<BoxFuture<'static, ()>>,
    outbox: Arc<Outbox>,
}

impl Connection {
    async fn open(
        client: Client,
        deployment: &Deployment,
        steps: &Steps,
        mut reached: UnboundedReceiver<&'static str>,
    ) -> Result<Self, Error> {
        let mut ready = pin!(client.wait_for_connect());
        // It subscribes when it is first polled, and the task may be done as soon as it is started.
        let early = futures_util::poll!(&mut ready);
        debug_assert!(early.is_pending(), "a client that was not started is not connected");
        let task = client.connect();
        let connection = Self {
            client: client.clone(),
            task: task.abort_handle(),
            ended: task.map(|_| ()).boxed().shared(),
            outbox: Outbox::new(client.clone()),
        };
        let announce = async {
            while let Some(step) = reached.recv().await {
                steps.begin(step);
            }
            pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            never = announce => match never {},
            result = ready => result?,
        }
        connection.settle(deployment).await?;
        Ok(connection)
    }

    /// Closes what the library leaves open after finding a cluster's nodes, and waits for a first answer if there was none yet.
    async fn settle(&self, deployment: &Deployment) -> Result<(), Error> {
        let inner = self.client.inner();
        inner.backchannel.check_and_disconnect(inner, None).await;
        if deployment.credentials.password.is_some() || !matches!(deployment.layout, Layout::Single)
        {
            return Ok(());
        }
        // A server that demands a client certificate, or is none at all, shows that with its first answer. What the answer says is the check's to judge.
        let ping = Command::new("handshake", "PING", []);
        match self.exchange(0, std::slice::from_ref(&ping)).await.into_iter().next() {
            Some(Err(error)) if words::reply(&error).is_none() => Err(error),
            _ => Ok(()),
        }
    }

    /// Sends `commands` in one go to `database` and gives their answers, or the first refusal.
    pub(crate) async fn ask(
        &self,
        database: u16,
        commands: &[Command],
    ) -> Result<Vec<Answer>, Failure> {
        let results = self.exchange(database, commands).await;
        // With a database to select there is one answer more; a broken connection gives a single error for all.
        let selecting = (results.len() == commands.len() + 1).then_some("select");
        let steps = selecting.into_iter().chain(commands.iter().map(|command| command.step));
        let answers: Result<Vec<_>, _> = steps
            .zip(results)
            .map(|(step, result)| result.map(answer).map_err(|error| words::failure(step, &error)))
            .collect();
        let mut answers = answers?;
        answers.drain(..selecting.iter().count());
        if answers.len() == commands.len() {
            return Ok(answers);
        }
        Err(Failure::new("handshake", words::foreign().connection_lost()))
    }

    async fn exchange(&self, database: u16, commands: &[Command]) -> Vec<Result<Value, Error>> {
        let requests = commands.iter().map(|command| command.request.clone()).collect();
        tokio::select! {
            biased;
            answers = self.outbox.exchange(database, requests) => answers,
            // A command that was sent to a task that has ended would wait for ever.
            () = self.ended.clone() => vec![Err(Error::new(ErrorKind::Canceled, ""))],
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(value: Value) -> Answer {
    match value {
        Value::Null => Answer::Nil,
        Value::Integer(number) => Answer::Number(number),
        Value::String(text) => Answer::Text(text.to_string()),
        Value::Bytes(bytes) => Answer::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Array(items) => Answer::List(items.into_iter().map(answer).collect()),
        _ => Answer::Other,
    }
}
