//! The queue for the workers' replies to one request over Redis.
//!
//! It is a list, bound to the reply exchange: a worker looks the binding up, and discards its reply if there is none.
//! A list has a time to live only while it is not empty, so its rightmost item is a placeholder; workers push on the left.
//! Whatever happens to the process, the list expires, and a binding without a list is removed by the next sweep.

use redis_client::{Command, Reply, literal_pattern};

use crate::transport::{Separator, TransportOptions};

/// The prefix of the routing keys and lists of the gateway.
const PREFIX: &str = "health-gateway.";
/// The step of all commands.
const STEP: &str = "ask";
/// The time to live of a list after it was last read, in milliseconds. A run that waits for replies reads it far more often.
const LIFETIME: &str = "60000";
/// The time to live of a list that is no longer bound, in milliseconds. A worker that has looked the binding up just before may still push.
const UNBOUND_LIFETIME: &str = "5000";

/// The number of replies that are read first. A worker's reply may have many kilobytes, and the client bounds the size of an answer.
const MIN_BATCH: usize = 4;
/// The largest number of replies that are read at a time.
const MAX_BATCH: usize = 32;
/// About how many bytes of replies are read at a time, a quarter of that bound, since the next replies may be larger.
const BATCH_SIZE: usize = 256 * 1024;

/// A list, and the binding by which workers find it.
#[derive(Debug)]
pub(crate) struct ReplyQueue {
    list: String,
    /// The key of the bindings of the reply exchange, and the binding, unless the workers' separator is unknown.
    binding: Option<(String, String)>,
    exchange: String,
    routing_key: String,
    /// The number of replies that have been read.
    read: usize,
    /// The number of replies that are read next.
    batch: usize,
}

impl ReplyQueue {
    /// A queue for the replies to the request `ticket`.
    ///
    /// A worker cannot read any binding of the exchange if one of them has another separator than its own.
    /// So if the separator is unknown, nothing is bound: the workers push to the queue by its name, through the default exchange.
    pub(crate) fn new(
        options: &TransportOptions,
        reply_exchange: &str,
        separator: &Separator,
        ticket: &str,
    ) -> Self {
        let routing_key = format!("{PREFIX}{ticket}");
        let queue = format!("{routing_key}.{reply_exchange}");
        let list = options.key(&queue);
        if !separator.is_known() {
            return Self {
                list,
                binding: None,
                exchange: String::new(),
                routing_key: queue,
                read: 0,
                batch: MIN_BATCH,
            };
        }
        let binding = separator.binding(&routing_key, &queue);
        let binding = Some((options.bindings_key(reply_exchange), binding));
        let exchange = reply_exchange.to_owned();
        Self { list, binding, exchange, routing_key, read: 0, batch: MIN_BATCH }
    }

    /// The exchange and the routing key by which workers send their replies.
    pub(crate) fn address(&self) -> (&str, &str) {
        (&self.exchange, &self.routing_key)
    }

    /// Commands that create the queue. The list expires before it is bound.
    pub(crate) fn create(&self) -> Vec<Command> {
        let mut commands = vec![
            Command::new(STEP, "RPUSH", [&self.list, ""]),
            Command::new(STEP, "PEXPIRE", [&self.list, LIFETIME]),
        ];
        commands.extend(self.change_binding("SADD"));
        commands
    }

    /// Commands that read the oldest replies that have not been read yet, a bounded number of them; the last command returns the replies.
    pub(crate) fn read(&self) -> [Command; 2] {
        let start = format!("-{}", self.read + 1 + self.batch);
        let end = format!("-{}", self.read + 2);
        [
            Command::new(STEP, "PEXPIRE", [&self.list, LIFETIME]),
            Command::new(STEP, "LRANGE", [&self.list, &start, &end]),
        ]
    }

    /// The messages in the reply to [`read`](Self::read), and whether there may be more.
    pub(crate) fn messages(&mut self, reply: &Reply) -> (Vec<String>, bool) {
        let Reply::List(items) = reply else { return Default::default() };
        let text = |item: &Reply| match item {
            Reply::Text(text) => Some(text.clone()),
            _ => None,
        };
        let messages: Vec<_> = items.iter().filter_map(text).collect();
        let has_more = items.len() == self.batch;
        self.read += items.len();
        let largest = messages.iter().map(String::len).max().unwrap_or_default();
        let fitting = BATCH_SIZE / largest.max(1);
        self.batch = (self.batch * 2).min(fitting).clamp(MIN_BATCH, MAX_BATCH);
        (messages, has_more)
    }

    /// Commands that remove the queue. If replies may still arrive, its list is left to expire.
    pub(crate) fn remove(&self, complete: bool) -> Vec<Command> {
        let list = match (complete, &self.binding) {
            (true, _) => Some(Command::new(STEP, "DEL", [&self.list])),
            (false, Some(_)) => Some(Command::new(STEP, "PEXPIRE", [&self.list, UNBOUND_LIFETIME])),
            // Workers push to it without a binding.
            (false, None) => None,
        };
        self.change_binding("SREM").into_iter().chain(list).collect()
    }

    fn change_binding(&self, command: &'static str) -> Option<Command> {
        let (key, binding) = self.binding.as_ref()?;
        Some(Command::new(STEP, command, [key, binding]))
    }
}

/// The pattern of the bindings of the gateway.
pub(crate) fn binding_pattern() -> String {
    format!("{}*", literal_pattern(PREFIX))
}

/// The key pattern of all lists of the gateway.
pub(crate) fn list_pattern(options: &TransportOptions, reply_exchange: &str) -> String {
    let prefix = literal_pattern(&options.key(PREFIX));
    format!("{prefix}*.{}", literal_pattern(reply_exchange))
}

/// The bindings of the gateway that are among all `bindings` of the reply exchange, and their lists.
pub(crate) fn own_bindings<'a>(
    options: &TransportOptions,
    bindings: &[&'a str],
) -> Vec<(&'a str, String)> {
    let own = bindings.iter().filter(|binding| binding.starts_with(PREFIX));
    // The queue is the last part, whatever the separator.
    own.filter_map(|binding| Some((*binding, options.key(&binding[binding.rfind(PREFIX)?..]))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_replies_are_read_at_a_time_while_they_are_small() {
        let options = TransportOptions::default();
        let mut queue = ReplyQueue::new(&options, "reply", &options.separator(&[]), "1");
        let mut read = |size: usize| {
            let replies = vec![Reply::Text("x".repeat(size)); queue.batch];
            assert!(queue.messages(&Reply::List(replies)).1);
            queue.batch
        };
        assert_eq!([100, 100, 100, 100].map(&mut read), [8, 16, 32, 32]);
        assert_eq!([20_000, 200_000, 2_000_000, 100].map(&mut read), [13, 4, 4, 8]);
        assert_eq!(queue.messages(&Reply::List(Vec::new())), (Vec::new(), false));
    }

    #[test]
    fn a_binding_is_the_gateway_s_if_its_routing_key_is() {
        let options = TransportOptions::default();
        let bindings = [
            "health-gateway.1\x06\x16\x06\x16health-gateway.1.reply.celery.pidbox",
            "health-gateway.2::health-gateway.2.reply.celery.pidbox",
            "some-celery-client\x06\x16\x06\x16its-list",
        ];
        let own = own_bindings(&options, &bindings);
        let lists: Vec<_> = own.iter().map(|(_, list)| list.as_str()).collect();
        assert_eq!(
            lists,
            ["health-gateway.1.reply.celery.pidbox", "health-gateway.2.reply.celery.pidbox"]
        );
    }
}
