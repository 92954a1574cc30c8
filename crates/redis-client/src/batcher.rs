//! Sends the pipelines of concurrent callers in one write.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, KeysInterface, ServerInterface};
use fred::types::{ClusterHash, CustomCommand, Expiration, Value};
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use futures_util::{FutureExt, TryFutureExt};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::command::Operation;

/// Collects pipelines and sends them together.
pub(crate) struct Batcher {
    client: Client,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    pipelines: Vec<Pipeline>,
    /// Set once a database other than 0 has been selected. From then on, every pipeline selects its own database.
    must_select: bool,
}

/// The commands of one caller for one database.
struct Pipeline {
    database: u16,
    operations: Vec<Operation>,
    sent: oneshot::Sender<Vec<InFlight>>,
}

/// A command that has been sent and has no reply yet.
type InFlight = MaybeDone<BoxFuture<'static, Result<Value, Error>>>;

impl Batcher {
    pub(crate) fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client, queue: Mutex::default() })
    }

    /// Sends `operations` to `database` as one pipeline and returns the replies.
    /// If the pipeline selects the database first, there is one more reply.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        database: u16,
        operations: Vec<Operation>,
    ) -> Vec<Result<Value, Error>> {
        let (sent, receiver) = oneshot::channel();
        let is_first = {
            let mut queue = self.queue.lock();
            queue.pipelines.push(Pipeline { database, operations, sent });
            queue.pipelines.len() == 1
        };
        if is_first {
            // The write has its own task, since the first caller may be dropped and the others depend on the write.
            tokio::spawn(self.clone().flush());
        }
        let Ok(mut in_flight) = receiver.await else {
            return vec![Err(Error::new(ErrorKind::Canceled, ""))];
        };
        poll_fn(|context| {
            let mut pending = false;
            for command in &mut in_flight {
                pending |= command.poll_unpin(context).is_pending();
            }
            if pending {
                return Poll::Pending;
            }
            let replies =
                in_flight.iter_mut().filter_map(|command| Pin::new(command).take_output());
            Poll::Ready(replies.collect())
        })
        .await
    }

    /// Sends all queued pipelines, after every task that is ready to run has queued its own.
    async fn flush(self: Arc<Self>) {
        yield_now().await;
        poll_fn(|context| {
            // The lock keeps the commands of each pipeline contiguous, from its `SELECT` to its last command.
            let mut queue = self.queue.lock();
            for Pipeline { database, operations, sent } in std::mem::take(&mut queue.pipelines) {
                // The caller was dropped while its pipeline was queued.
                if sent.is_closed() {
                    continue;
                }
                queue.must_select |= database != 0;
                let select = queue.must_select.then_some(Operation::Select(database));
                let operations = select.into_iter().chain(operations);
                let mut in_flight: Vec<_> =
                    operations.map(|operation| maybe_done(self.send(operation))).collect();
                for command in &mut in_flight {
                    // The first poll sends the command to the library's task, which later wakes the last poller.
                    let _pending = command.poll_unpin(context);
                }
                // The caller may have been dropped in the meantime. Its commands are executed nevertheless.
                drop(sent.send(in_flight));
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Sends a command on the first poll and resolves to its reply.
    fn send(&self, operation: Operation) -> BoxFuture<'static, Result<Value, Error>> {
        let client = self.client.clone();
        match operation {
            Operation::Select(database) => {
                let selected = async move { client.select(i64::from(database)).await };
                selected.map_ok(|()| Value::Null).boxed()
            }
            Operation::Set { key, value, seconds } => {
                let expires = Some(Expiration::EX(seconds));
                async move { client.set(key, value, expires, None, false).await }.boxed()
            }
            Operation::Get { key } => async move { client.get(key).await }.boxed(),
            Operation::Delete { key } => async move { client.del(key).await }.boxed(),
            Operation::Other { name, arguments } => {
                let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
                async move { client.custom(command, arguments).await }.boxed()
            }
        }
    }
}
