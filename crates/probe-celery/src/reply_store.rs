//! Reads replies from Redis and removes reply queues that are no longer used.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use probe::{Failure, Steps};
use redis_client::{Command, Redis, Reply};

use crate::reply_queue::{ReplyQueue, bindings_key, stale_list};

/// How long one `BRPOP` waits, in seconds.
const POP_TIMEOUT: &str = "1";

/// The database in which the reply queues are.
pub(crate) struct ReplyStore {
    commands: Redis,
    /// A dedicated connection, since `BRPOP` blocks it.
    blocking: Redis,
    /// Lists to which a worker may have pushed a reply after they were deleted.
    deleted_lists: Mutex<Vec<String>>,
    /// Whether the stale queues of killed gateways have been removed.
    swept: AtomicBool,
}

impl ReplyStore {
    pub(crate) fn new(commands: Redis) -> Self {
        let blocking = commands.dedicated();
        Self { commands, blocking, deleted_lists: Mutex::default(), swept: AtomicBool::new(false) }
    }

    /// The shared connection to the database.
    pub(crate) fn redis(&self) -> &Redis {
        &self.commands
    }

    /// Waits for the next message in the queue; `None` if there was none for a while.
    pub(crate) async fn pop(&self, queue: &ReplyQueue) -> Result<Option<String>, Failure> {
        let pop = Command::new("ask", "BRPOP", [queue.list(), POP_TIMEOUT]);
        let replies = self.blocking.execute(&Steps::new(), &[pop]).await?;
        Ok(match replies.into_iter().next() {
            Some(Reply::List(items)) => match items.into_iter().nth(1) {
                Some(Reply::Text(message)) => Some(message),
                _ => None,
            },
            _ => None,
        })
    }

    /// Commands that delete once more the lists to which a worker may have pushed a late reply.
    pub(crate) fn delete_late_replies(&self) -> Vec<Command> {
        let lists = std::mem::take(&mut *self.deleted_lists.lock());
        lists.iter().map(|list| Command::new("ask", "DEL", [list])).collect()
    }

    /// Unbinds and deletes the queue.
    pub(crate) async fn remove(&self, queue: &ReplyQueue) -> Result<(), Failure> {
        // A worker that has looked up the binding just before may still push.
        self.deleted_lists.lock().push(queue.list().to_owned());
        let commands = [queue.unbind(), Command::new("ask", "DEL", [queue.list()])];
        self.commands.execute(&Steps::new(), &commands).await.map(drop)
    }

    /// Removes the stale queues that a killed gateway left behind, once in the lifetime of this store.
    pub(crate) async fn sweep_once(&self) -> Result<(), Failure> {
        if self.swept.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let bindings = Command::new("ask", "SMEMBERS", [&bindings_key()]);
        let replies = self.commands.execute(&Steps::new(), &[bindings]).await?;
        let Some(Reply::List(bindings)) = replies.first() else { return Ok(()) };
        let mut commands = Vec::new();
        for binding in bindings {
            let Reply::Text(binding) = binding else { continue };
            if let Some(list) = stale_list(binding) {
                commands.push(Command::new("ask", "SREM", [&bindings_key(), binding]));
                commands.push(Command::new("ask", "DEL", [list]));
            }
        }
        if commands.is_empty() {
            return Ok(());
        }
        self.commands.execute(&Steps::new(), &commands).await.map(drop)
    }
}
