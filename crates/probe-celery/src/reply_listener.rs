//! Waiting for answers over Redis: one list, and one connection that waits on it for whoever asks meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use probe::{Failure, Steps};
use redis_client::{Answer, Command};
use tokio::sync::{Notify, mpsc};

use crate::kombu::opened;
use crate::question::{Question, Reply};
use crate::redis_broker::RedisBroker;
use crate::reply_path::ReplyPath;

/// How long the server holds back its answer when there is none yet, in seconds.
const WAIT: &str = "1";
/// So long putting things in order may take when the server does not answer.
const TIDYING: Duration = Duration::from_secs(5);
/// Much younger than what is taken for abandoned.
const OLD: Duration = Duration::from_mins(10);

type Replies = mpsc::UnboundedSender<Result<Reply, Failure>>;

/// See the module.
pub(crate) struct Session {
    path: ReplyPath,
    begun: Instant,
    /// Who waits, by the tickets of their questions; `None` once it is over.
    waiting: Mutex<Option<HashMap<String, Replies>>>,
    /// Held by whoever opens or closes the way back.
    pub(crate) way: tokio::sync::Mutex<()>,
    retired: Notify,
}

impl Session {
    /// Begins one with the first who waits; it ends soon after the last.
    pub(crate) fn start(broker: Arc<RedisBroker>, ticket: &str, replies: Replies) -> Arc<Self> {
        let waiting = Mutex::new(Some(HashMap::from([(ticket.to_owned(), replies)])));
        let (path, begun) = (ReplyPath::new(), Instant::now());
        let (way, retired) = (tokio::sync::Mutex::default(), Notify::new());
        let session = Arc::new(Self { path, begun, waiting, way, retired });
        tokio::spawn(session.clone().run(broker));
        session
    }

    pub(crate) fn path(&self) -> &ReplyPath {
        &self.path
    }

    /// Waits for the answers to a question from now on; not if it is over, or so old that it ends now.
    pub(crate) fn listen(&self, ticket: &str, replies: Replies) -> bool {
        let mut waiting = self.waiting();
        if self.begun.elapsed() > OLD && waiting.as_ref().is_some_and(HashMap::is_empty) {
            *waiting = None;
            // The connection is free at once for the next one.
            self.retired.notify_one();
        }
        if let Some(waiting) = waiting.as_mut() {
            waiting.insert(ticket.to_owned(), replies);
        }
        waiting.is_some()
    }

    /// Waits no more.
    pub(crate) fn leave(&self, ticket: &str) {
        if let Some(waiting) = self.waiting().as_mut() {
            waiting.remove(ticket);
        }
    }

    /// Whether nobody waits just now.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting().as_ref().is_none_or(HashMap::is_empty)
    }

    /// Waits on the list, and once more after the last who waits is gone: what is given up may be lost with its connection.
    async fn run(self: Arc<Self>, broker: Arc<RedisBroker>) {
        while !self.is_over() {
            let (steps, wait) =
                (Steps::new(), [Command::new("ask", "BRPOP", [self.path.list(), WAIT])]);
            let since_before: Vec<_> =
                self.waiting().iter().flat_map(HashMap::keys).cloned().collect();
            tokio::select! {
                answers = broker.answers.ask(&steps, &wait) => match answers {
                    Ok(answers) => self.hand_on(answers.first()),
                    Err(failure) => self.fail(&failure, &since_before),
                },
                () = self.retired.notified() => {}
            }
        }
        self.tidy(&broker).await;
    }

    /// Closes the way back, unless somebody waits.
    pub(crate) async fn tidy(&self, broker: &RedisBroker) {
        // Whoever asks next finds out that the server does not answer.
        let _tidied = tokio::time::timeout(TIDYING, broker.close(self)).await;
    }

    /// Whether nobody waits any more, from which moment on nobody can.
    fn is_over(&self) -> bool {
        let mut waiting = self.waiting();
        if waiting.as_ref().is_some_and(HashMap::is_empty) {
            *waiting = None;
        }
        waiting.is_none()
    }

    fn hand_on(&self, answer: Option<&Answer>) {
        let Some((ticket, reply)) = read(answer) else { return };
        if let Some(replies) = self.waiting().as_ref().and_then(|waiting| waiting.get(&ticket)) {
            // Who does not wait any more leaves in a moment.
            let _gone = replies.send(Ok(reply));
        }
    }

    /// Tells those who waited all the time that it failed; for whoever came meanwhile it may have been too old a connection.
    fn fail(&self, failure: &Failure, since_before: &[String]) {
        for ticket in since_before {
            let replies = self.waiting().as_mut().and_then(|waiting| waiting.remove(ticket));
            if let Some(replies) = replies {
                let _gone = replies.send(Err(failure.clone()));
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<String, Replies>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reply that `BRPOP` gave, and the ticket of its question; `None` if there was none yet.
fn read(answer: Option<&Answer>) -> Option<(String, Reply)> {
    let Some(Answer::List(parts)) = answer else { return None };
    let Some(Answer::Text(message)) = parts.get(1) else { return None };
    let (headers, body) = opened(message)?;
    let ticket = headers.get("ticket")?.as_str()?.to_owned();
    Some((ticket, Question::read(&body)?))
}
