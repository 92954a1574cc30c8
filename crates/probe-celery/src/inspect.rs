//! Celery's remote control: the question that is put to all workers, and what they answer.
//!
//! The protocol is that of Celery 5 with kombu 5: `kombu/pidbox.py` for the question, `celery/worker/control.py` for its methods.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

/// The exchange through which questions go to all workers.
pub(crate) const EXCHANGE: &str = "celery.pidbox";
/// The exchange through which answers come back.
pub(crate) const REPLY_EXCHANGE: &str = "reply.celery.pidbox";

/// How long a question is worth an answer. It is long, since this is compared with the workers' clocks.
const EXPIRES: Duration = Duration::from_mins(1);

/// One question to all workers.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    ticket: String,
    method: &'static str,
}

/// A worker's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The node's name, for instance `w1@host`.
    pub(crate) worker: String,
    /// The queues that it takes tasks from, as far as that was asked.
    pub(crate) queues: Vec<String>,
}

impl Question {
    /// A new one: whether they are there, and also what they consume if there are queues to judge.
    pub(crate) fn new(with_queues: bool) -> Self {
        let method = if with_queues { "active_queues" } else { "ping" };
        Self { ticket: format!("{:032x}", rand::random::<u128>()), method }
    }

    pub(crate) fn ticket(&self) -> &str {
        &self.ticket
    }

    pub(crate) fn headers() -> Value {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        json!({"clock": 1, "expires": (now + EXPIRES).as_secs_f64()})
    }

    /// The question itself; the answers go to `reply_to`, by way of the exchange for answers.
    pub(crate) fn body(&self, reply_to: &str) -> String {
        json!({
            "method": self.method,
            "arguments": {},
            "destination": null,
            "pattern": null,
            "matcher": null,
            "ticket": self.ticket,
            "reply_to": {"exchange": REPLY_EXCHANGE, "routing_key": reply_to},
        })
        .to_string()
    }

    /// Reads an answer; `None` if it is none.
    pub(crate) fn read(body: &[u8]) -> Option<Reply> {
        // Whoever was not asked for queues, or cannot tell them, is there all the same.
        let (worker, queues) = entry::<Vec<Queue>>(body)
            .or_else(|| Some((entry::<IgnoredAny>(body)?.0, Vec::new())))?;
        Some(Reply { worker, queues: queues.into_iter().map(|queue| queue.name).collect() })
    }
}

/// What is told of a queue, as far as it is read: the rest is long, and comes for every queue of every worker.
#[derive(Deserialize)]
struct Queue {
    name: String,
}

/// The one entry of an answer: who answers, and what.
fn entry<T: DeserializeOwned>(body: &[u8]) -> Option<(String, T)> {
    serde_json::from_slice::<BTreeMap<String, T>>(body).ok()?.pop_first()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, worker: &str, queues: &[&str]) {
        let reply = Question::read(body.as_bytes()).expect("an answer");
        assert_eq!(
            (reply.worker.as_str(), reply.queues),
            (worker, queues.iter().map(ToString::to_string).collect())
        );
    }

    #[test]
    fn a_worker_answers_that_it_is_there_or_what_it_consumes() {
        check(r#"{"w1@host": {"ok": "pong"}}"#, "w1@host", &[]);
        check(
            r#"{"w1@host": [{"name": "a", "alias": null}, {"name": "b"}]}"#,
            "w1@host",
            &["a", "b"],
        );
        // A worker that cannot tell.
        check(r#"{"w1@host": {"error": "no such method"}}"#, "w1@host", &[]);
        // A worker that has no consumer yet.
        check(r#"{"w1@host": []}"#, "w1@host", &[]);
    }

    #[test]
    fn what_is_no_answer_is_left_out() {
        for body in ["", "[]", "{}", "\"pong\"", "\u{80}\u{4}"] {
            assert_eq!(Question::read(body.as_bytes()), None, "{body}");
        }
    }
}
