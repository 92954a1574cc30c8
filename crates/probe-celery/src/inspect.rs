//! Celery's inspect commands: the request to all workers and their replies.
//!
//! The protocol is that of Celery 5 with kombu 5: `kombu/pidbox.py` for the request, `celery/worker/control.py` for its methods.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use crate::content::Serializer;

/// The value of Celery's setting `control_exchange`, unless it is set.
pub(crate) const CONTROL_EXCHANGE: &str = "celery";

/// How often a request is repeated while replies are missing: a worker that has just started does not receive earlier ones, and a consumer that has just ended will not reply.
pub(crate) const REPEAT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a request is valid. Workers compare its expiry with their own clocks, so this allows for clock skew.
const EXPIRES: Duration = Duration::from_mins(1);

/// The exchanges of remote control.
#[derive(Clone, Debug)]
pub(crate) struct ControlExchanges {
    /// The fanout exchange that delivers requests to all workers.
    pub(crate) requests: String,
    /// The exchange for the replies.
    pub(crate) replies: String,
}

impl ControlExchanges {
    /// The exchanges of an application with this value of Celery's setting `control_exchange`.
    pub(crate) fn new(name: &str) -> Self {
        Self { requests: format!("{name}.pidbox"), replies: format!("reply.{name}.pidbox") }
    }
}

/// One request to all workers.
#[derive(Clone, Debug)]
pub(crate) struct InspectRequest {
    ticket: String,
    method: &'static str,
}

/// A reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InspectReply {
    Worker(WorkerReply),
    /// A worker has replied in this way, so that its name is not known.
    Unreadable(String),
}

/// What a worker replied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerReply {
    /// The node's name, for instance `w1@host`.
    pub(crate) worker: String,
    /// The queues that the worker consumes, if the request asked for them.
    pub(crate) queues: Vec<String>,
}

impl InspectRequest {
    /// A new request: `active_queues` if there are queues to check, otherwise `ping`.
    pub(crate) fn new(with_queues: bool) -> Self {
        let method = if with_queues { "active_queues" } else { "ping" };
        Self { ticket: format!("{:032x}", rand::random::<u128>()), method }
    }

    /// The id that replies to this request carry.
    pub(crate) fn ticket(&self) -> &str {
        &self.ticket
    }

    pub(crate) fn headers() -> Value {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        json!({"clock": 1, "expires": (now + EXPIRES).as_secs_f64()})
    }

    /// The content of the message; replies go through `exchange` with `routing_key`.
    pub(crate) fn content(&self, exchange: &str, routing_key: &str) -> Value {
        json!({
            "method": self.method,
            "arguments": {},
            "destination": null,
            "pattern": null,
            "matcher": null,
            "ticket": self.ticket,
            "reply_to": {"exchange": exchange, "routing_key": routing_key},
        })
    }
}

impl InspectReply {
    /// Parses a reply with this content type and body.
    pub(crate) fn parse(content_type: &str, body: &[u8]) -> Self {
        let Some(serializer) = Serializer::of(content_type) else {
            let printable = |c: char| c.is_ascii_graphic();
            let content_type: String =
                content_type.chars().filter(|c| printable(*c)).take(40).collect();
            return Self::Unreadable(format!("in {content_type}, which is not known here"));
        };
        // A worker that lists no queues in its reply is online all the same.
        let parsed = entry::<Vec<ActiveQueue>>(serializer, body)
            .or_else(|| Some((entry::<IgnoredAny>(serializer, body)?.0, Vec::new())));
        match parsed {
            Some((worker, queues)) => {
                let queues = queues.into_iter().map(|queue| queue.name).collect();
                Self::Worker(WorkerReply { worker, queues })
            }
            None => Self::Unreadable(format!(
                "with something other than a reply in {}",
                serializer.name()
            )),
        }
    }
}

/// A queue in a reply. The other fields are long, and every worker sends them for every queue.
#[derive(Deserialize)]
struct ActiveQueue {
    name: String,
}

/// The single entry of a reply: the worker's name and its value.
fn entry<T: DeserializeOwned>(serializer: Serializer, body: &[u8]) -> Option<(String, T)> {
    serializer.decode::<BTreeMap<String, T>>(body)?.pop_first()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, worker: &str, queues: &[&str]) {
        let reply = WorkerReply {
            worker: worker.to_owned(),
            queues: queues.iter().map(ToString::to_string).collect(),
        };
        let parsed = InspectReply::parse("application/json", body.as_bytes());
        assert_eq!(parsed, InspectReply::Worker(reply));
    }

    #[test]
    fn a_reply_names_the_worker_and_its_queues() {
        check(r#"{"w1@host": {"ok": "pong"}}"#, "w1@host", &[]);
        check(
            r#"{"w1@host": [{"name": "a", "alias": null}, {"name": "b"}]}"#,
            "w1@host",
            &["a", "b"],
        );
        // A worker that cannot list its queues.
        check(r#"{"w1@host": {"error": "no such method"}}"#, "w1@host", &[]);
        // A worker without consumers.
        check(r#"{"w1@host": []}"#, "w1@host", &[]);
    }

    #[test]
    fn anything_else_is_the_reply_of_an_unknown_worker() {
        let unreadable = |how: &str| InspectReply::Unreadable(how.to_owned());
        for body in ["", "[]", "{}", "\"pong\"", "\u{80}\u{4}"] {
            assert_eq!(
                InspectReply::parse("application/json", body.as_bytes()),
                unreadable("with something other than a reply in json"),
                "{body}"
            );
        }
        assert_eq!(
            InspectReply::parse("application/data", b"{}"),
            unreadable("in application/data, which is not known here")
        );
    }
}
