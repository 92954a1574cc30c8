//! The way by which answers come back over Redis: a worker looks it up in a table, and drops its answer if there is none.

use std::time::{Duration, SystemTime};

use redis_client::{Command, literal};

use crate::question::REPLY_EXCHANGE;

/// What kombu puts between the parts of a name.
pub(crate) const SEPARATOR: &str = "\u{6}\u{16}";
/// What the names of our ways back begin with; the time follows.
const OURS: &str = "health-gateway.";
/// No way back is needed for as long.
const ABANDONED: Duration = Duration::from_hours(1);

/// One way back.
#[derive(Debug)]
pub(crate) struct ReplyPath {
    name: String,
    list: String,
}

impl ReplyPath {
    pub(crate) fn new() -> Self {
        let name = format!("{OURS}{}.{:032x}", seconds_since_epoch(), rand::random::<u128>());
        Self { list: format!("{name}.{REPLY_EXCHANGE}"), name }
    }

    /// The name by which workers look it up.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The list onto which they push.
    pub(crate) fn list(&self) -> &str {
        &self.list
    }

    pub(crate) fn bind(&self) -> Command {
        Command::new("ask", "SADD", [&table(), &self.entry()])
    }

    pub(crate) fn unbind(&self) -> Command {
        Command::new("ask", "SREM", [&table(), &self.entry()])
    }

    /// Routing key, pattern and queue.
    fn entry(&self) -> String {
        [&self.name, "", &self.list].join(SEPARATOR)
    }
}

/// The pattern of all our lists.
pub(crate) fn pattern() -> String {
    format!("{}*.{}", literal(OURS), literal(REPLY_EXCHANGE))
}

/// Where kombu keeps what the exchange for answers leads to.
pub(crate) fn table() -> String {
    format!("_kombu.binding.{REPLY_EXCHANGE}")
}

/// The list of an entry in that table, if it is a gateway's and older than it can be in use.
pub(crate) fn abandoned(entry: &str) -> Option<&str> {
    let (begun, _) = entry.strip_prefix(OURS)?.split_once('.')?;
    let begun: u64 = begun.parse().ok()?;
    let old = begun < seconds_since_epoch().saturating_sub(ABANDONED.as_secs());
    entry.rsplit(SEPARATOR).next().filter(|_| old)
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_an_entry_as_kombu_reads_it() {
        let path = ReplyPath { name: "me".into(), list: "me.reply.celery.pidbox".into() };
        assert_eq!(path.entry(), "me\x06\x16\x06\x16me.reply.celery.pidbox");
        assert_eq!(table(), "_kombu.binding.reply.celery.pidbox");
    }

    #[test]
    fn only_an_old_entry_of_a_gateway_is_abandoned() {
        assert_eq!(abandoned("health-gateway.1000.t\x06\x16\x06\x16the-list"), Some("the-list"));
        assert_eq!(abandoned(&ReplyPath::new().entry()), None);
        assert_eq!(abandoned("some-celery-client\x06\x16\x06\x16its-list"), None);
    }
}
