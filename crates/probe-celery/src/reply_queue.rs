//! A queue for the workers' replies over Redis: a list, bound to the reply exchange.
//!
//! A worker looks the binding up, and discards its reply if there is none.

use std::time::{Duration, SystemTime};

use redis_client::{Command, literal_pattern};

use crate::inspect::REPLY_EXCHANGE;
use crate::kombu::SEPARATOR;

/// The prefix of the gateway's routing keys, before a timestamp.
const PREFIX: &str = "health-gateway.";
/// A binding older than this is no longer in use.
const STALE: Duration = Duration::from_hours(1);

/// The routing key and the list of one queue.
#[derive(Debug)]
pub(crate) struct ReplyQueue {
    routing_key: String,
    list: String,
}

impl ReplyQueue {
    pub(crate) fn new() -> Self {
        let random = rand::random::<u128>();
        let routing_key = format!("{PREFIX}{}.{random:032x}", seconds_since_epoch());
        Self { list: format!("{routing_key}.{REPLY_EXCHANGE}"), routing_key }
    }

    pub(crate) fn routing_key(&self) -> &str {
        &self.routing_key
    }

    /// The list to which workers push their replies.
    pub(crate) fn list(&self) -> &str {
        &self.list
    }

    pub(crate) fn bind(&self) -> Command {
        Command::new("ask", "SADD", [&bindings_key(), &self.binding()])
    }

    pub(crate) fn unbind(&self) -> Command {
        Command::new("ask", "SREM", [&bindings_key(), &self.binding()])
    }

    /// Routing key, pattern and queue.
    fn binding(&self) -> String {
        [&self.routing_key, "", &self.list].join(SEPARATOR)
    }
}

/// The key pattern of all of the gateway's lists.
pub(crate) fn list_pattern() -> String {
    format!("{}*.{}", literal_pattern(PREFIX), literal_pattern(REPLY_EXCHANGE))
}

/// The set in which kombu stores the bindings of the reply exchange.
pub(crate) fn bindings_key() -> String {
    format!("_kombu.binding.{REPLY_EXCHANGE}")
}

/// The list of a binding, if the binding is a gateway's and stale.
pub(crate) fn stale_list(binding: &str) -> Option<&str> {
    let (created, _) = binding.strip_prefix(PREFIX)?.split_once('.')?;
    let created: u64 = created.parse().ok()?;
    let is_stale = created < seconds_since_epoch().saturating_sub(STALE.as_secs());
    binding.rsplit(SEPARATOR).next().filter(|_| is_stale)
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_has_kombu_s_format() {
        let queue = ReplyQueue { routing_key: "me".into(), list: "me.reply.celery.pidbox".into() };
        assert_eq!(queue.binding(), "me\x06\x16\x06\x16me.reply.celery.pidbox");
        assert_eq!(bindings_key(), "_kombu.binding.reply.celery.pidbox");
    }

    #[test]
    fn only_an_old_binding_of_a_gateway_is_stale() {
        assert_eq!(stale_list("health-gateway.1000.t\x06\x16\x06\x16the-list"), Some("the-list"));
        assert_eq!(stale_list(&ReplyQueue::new().binding()), None);
        assert_eq!(stale_list("some-celery-client\x06\x16\x06\x16its-list"), None);
    }
}
