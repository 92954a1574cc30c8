//! What is asked at the same time leaves together: one write for all who share the connection.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, KeysInterface, ServerInterface};
use fred::types::{ClusterHash, CustomCommand, Expiration, Value};
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::oneshot;
use tokio::task::yield_now;

use crate::command::Request;

/// See the module.
pub(crate) struct Outbox {
    client: Client,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    questions: Vec<Question>,
    /// Whether another database than 0 was ever selected, so that whoever asks has to select his own.
    mixed: bool,
}

/// What somebody asks of one database.
struct Question {
    database: u16,
    requests: Vec<Request>,
    sent: oneshot::Sender<Vec<Sent>>,
}

/// A command that is on its way.
type Sent = MaybeDone<BoxFuture<'static, Result<Value, Error>>>;

impl Outbox {
    pub(crate) fn new(client: Client) -> Arc<Self> {
        Arc::new(Self { client, waiting: Mutex::default() })
    }

    /// Sends `requests` in one go to `database`, and waits for what is said to each; with a database to select there is one answer more.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        database: u16,
        requests: Vec<Request>,
    ) -> Vec<Result<Value, Error>> {
        let (sent, sending) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.questions.push(Question { database, requests, sent });
            waiting.questions.len() == 1
        };
        if first {
            // In a task, since whoever asks first may be dropped, and the others rely on it.
            tokio::spawn(self.clone().send());
        }
        let Ok(mut sent) = sending.await else {
            return vec![Err(Error::new(ErrorKind::Canceled, ""))];
        };
        poll_fn(|context| {
            let mut waiting = false;
            for one in &mut sent {
                waiting |= one.poll_unpin(context).is_pending();
            }
            if waiting {
                return Poll::Pending;
            }
            Poll::Ready(sent.iter_mut().filter_map(|one| Pin::new(one).take_output()).collect())
        })
        .await
    }

    /// Sends what waits, after all who are about to ask have asked.
    async fn send(self: Arc<Self>) {
        yield_now().await;
        poll_fn(|context| {
            // Under the lock: nobody selects a database between our look and our commands, nor between these.
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            for Question { database, requests, sent } in std::mem::take(&mut waiting.questions) {
                // Who hung up meanwhile asks nothing.
                if sent.is_closed() {
                    continue;
                }
                waiting.mixed |= database != 0;
                let select = waiting.mixed.then_some(Request::Select(database));
                let all = select.into_iter().chain(requests);
                let mut all: Vec<_> = all.map(|one| maybe_done(self.command(one))).collect();
                for one in &mut all {
                    // The first poll hands it to the library's task, which answers to whoever polls next.
                    let _pending = one.poll_unpin(context);
                }
                // Who hangs up now does not listen; what was asked is asked.
                drop(sent.send(all));
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Sends a command when this is first polled, and waits for its answer.
    fn command(&self, request: Request) -> BoxFuture<'static, Result<Value, Error>> {
        let client = self.client.clone();
        match request {
            Request::Select(database) => {
                let selected = async move { client.select(i64::from(database)).await };
                selected.map_ok(|()| Value::Null).boxed()
            }
            Request::Set { key, value, seconds } => {
                let expires = Some(Expiration::EX(seconds));
                async move { client.set(key, value, expires, None, false).await }.boxed()
            }
            Request::Get { key } => async move { client.get(key).await }.boxed(),
            Request::Delete { key } => async move { client.del(key).await }.boxed(),
            Request::Other { name, arguments } => {
                let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
                async move { client.custom(command, arguments).await }.boxed()
            }
        }
    }
}
