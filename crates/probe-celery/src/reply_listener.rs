//! Receives replies from one queue in Redis and dispatches them to the waiting broadcasts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use probe::Failure;
use tokio::sync::{Notify, mpsc};

use crate::inspect::InspectReply;
use crate::kombu::decode_message;
use crate::reply_queue::ReplyQueue;
use crate::reply_store::ReplyStore;

/// How long the removal of the queue may take.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// A listener older than this takes no more broadcasts. Its queue must be removed long before it counts as stale.
const MAX_AGE: Duration = Duration::from_mins(10);

type ReplySender = mpsc::UnboundedSender<Result<InspectReply, Failure>>;

/// A task that receives replies for as long as a broadcast waits, and then removes its queue.
pub(crate) struct ReplyListener {
    store: Arc<ReplyStore>,
    queue: ReplyQueue,
    started: Instant,
    /// The waiting broadcasts by their tickets; `None` once the listener has ended.
    waiting: Mutex<Option<HashMap<String, ReplySender>>>,
    /// Held while the queue is bound or removed.
    binding: tokio::sync::Mutex<()>,
    retired: Notify,
}

/// A broadcast that waits for replies; it stops waiting when this is dropped.
pub(crate) struct Registration {
    listener: Arc<ReplyListener>,
    ticket: String,
}

impl Registration {
    pub(crate) fn listener(&self) -> &Arc<ReplyListener> {
        &self.listener
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(waiting) = self.listener.waiting().as_mut() {
            waiting.remove(&self.ticket);
        }
    }
}

impl ReplyListener {
    /// Starts a listener for a first broadcast; it ends soon after the last.
    pub(crate) fn start(
        store: Arc<ReplyStore>,
        ticket: &str,
        replies: ReplySender,
    ) -> Registration {
        let listener = Arc::new(Self {
            store,
            queue: ReplyQueue::new(),
            started: Instant::now(),
            waiting: Mutex::new(Some(HashMap::from([(ticket.to_owned(), replies)]))),
            binding: tokio::sync::Mutex::default(),
            retired: Notify::new(),
        });
        tokio::spawn(listener.clone().run());
        Registration { listener, ticket: ticket.to_owned() }
    }

    /// Registers another broadcast, unless the listener has ended or is too old.
    pub(crate) fn register(
        self: &Arc<Self>,
        ticket: &str,
        replies: ReplySender,
    ) -> Option<Registration> {
        let mut waiting = self.waiting();
        if self.started.elapsed() > MAX_AGE && waiting.as_ref().is_some_and(HashMap::is_empty) {
            *waiting = None;
            // Interrupts `BRPOP`, so that the next listener can use the connection.
            self.retired.notify_one();
        }
        waiting.as_mut()?.insert(ticket.to_owned(), replies);
        Some(Registration { listener: self.clone(), ticket: ticket.to_owned() })
    }

    pub(crate) fn queue(&self) -> &ReplyQueue {
        &self.queue
    }

    /// Locks the binding: while the guard is held, the queue is not removed.
    pub(crate) async fn lock_binding(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.binding.lock().await
    }

    /// Removes the queue, unless a broadcast waits. Best effort: if the server does not answer, the next broadcast reports that.
    pub(crate) async fn clean_up(&self) {
        let _cleaned_up = tokio::time::timeout(CLEAN_UP_TIMEOUT, self.remove_queue()).await;
    }

    async fn remove_queue(&self) -> Result<(), Failure> {
        let binding = self.lock_binding().await;
        if !self.is_idle() {
            return Ok(());
        }
        self.store.remove(&self.queue).await?;
        drop(binding);
        self.store.sweep_once().await
    }

    /// Receives replies until no broadcast waits.
    ///
    /// A `BRPOP` in flight is not cancelled when the last broadcast ends: that would lose the connection.
    async fn run(self: Arc<Self>) {
        while !self.has_ended() {
            let waiting_before: Vec<_> =
                self.waiting().iter().flat_map(HashMap::keys).cloned().collect();
            tokio::select! {
                popped = self.store.pop(&self.queue) => match popped {
                    Ok(message) => self.dispatch(message.as_deref()),
                    Err(failure) => self.fail(&failure, &waiting_before),
                },
                () = self.retired.notified() => {}
            }
        }
        self.clean_up().await;
    }

    /// Whether no broadcast waits any more. If so, none can register from now on.
    fn has_ended(&self) -> bool {
        let mut waiting = self.waiting();
        if waiting.as_ref().is_some_and(HashMap::is_empty) {
            *waiting = None;
        }
        waiting.is_none()
    }

    fn is_idle(&self) -> bool {
        self.waiting().as_ref().is_none_or(HashMap::is_empty)
    }

    fn dispatch(&self, message: Option<&str>) {
        let Some((ticket, reply)) = message.and_then(parse) else { return };
        if let Some(replies) = self.waiting().as_ref().and_then(|waiting| waiting.get(&ticket)) {
            // A broadcast that has dropped its receiver is about to drop its registration.
            let _dropped = replies.send(Ok(reply));
        }
    }

    /// Fails the broadcasts that were waiting when the command was sent. One that has registered since may have met a stale connection, so it waits on.
    fn fail(&self, failure: &Failure, waiting_before: &[String]) {
        for ticket in waiting_before {
            let replies = self.waiting().as_mut().and_then(|waiting| waiting.remove(ticket));
            if let Some(replies) = replies {
                let _dropped = replies.send(Err(failure.clone()));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<String, ReplySender>>> {
        self.waiting.lock()
    }
}

/// The reply in a message, and the ticket of its request.
fn parse(message: &str) -> Option<(String, InspectReply)> {
    let (headers, body) = decode_message(message)?;
    let ticket = headers.get("ticket")?.as_str()?.to_owned();
    Some((ticket, InspectReply::parse(&body)?))
}
