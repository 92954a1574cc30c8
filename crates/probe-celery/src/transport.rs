//! The names of keys and channels in Redis, which the transport options of kombu determine.
//!
//! The transport: `kombu/transport/redis.py` of kombu 5.

use std::collections::BTreeMap;
use std::fmt;

use probe::Secret;
use probe::config::{Fields, FromNode, Node, Value, ValueError};
use redis_client::SentinelSettings;

/// The separator between the parts of a name, unless the option `sep` is set.
const SEPARATOR: &str = "\u{6}\u{16}";
/// The longest separator that is found in a binding, of which each length costs a comparison.
const MAX_SEPARATOR: usize = 64;
/// The priorities that have a list of their own, unless the option `priority_steps` is set.
const PRIORITY_STEPS: [u64; 4] = [0, 3, 6, 9];
/// The prefix of channels, unless the option `fanout_prefix` is set. `{db}` stands for the number of the database.
const FANOUT_PREFIX: &str = "/{db}.";
/// In `fanout_prefix`, this stands for the number of the database.
const DATABASE: &str = "{db}";

/// The transport options that change names or servers. They have the names and meanings of kombu's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransportOptions {
    global_keyprefix: String,
    fanout_prefix: String,
    sep: Option<String>,
    priority_steps: Vec<u64>,
    sentinel_fanout_compat: bool,
    pub(crate) sentinel: SentinelSettings,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            global_keyprefix: String::new(),
            fanout_prefix: FANOUT_PREFIX.to_owned(),
            sep: None,
            priority_steps: PRIORITY_STEPS.to_vec(),
            sentinel_fanout_compat: false,
            sentinel: SentinelSettings::default(),
        }
    }
}

/// Options of kombu that change no name.
const OTHERS: &[&str] = &[
    "ack_emulation",
    "body_encoding",
    "channel_max",
    "client_name",
    "client_properties",
    "confirm_publish",
    "connect_retries_timeout",
    "connect_timeout",
    "deadletter_queue",
    "failover_strategy",
    "fanout_patterns",
    "frame_max",
    "health_check_interval",
    "heartbeat",
    "interval_max",
    "interval_start",
    "interval_step",
    "login_method",
    "max_connections",
    "max_retries",
    "min_other_sentinels",
    "polling_interval",
    "queue_order_strategy",
    "read_timeout",
    "reauth_check_interval",
    "retry_on_timeout",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_keepalive_options",
    "socket_timeout",
    "unacked_index_key",
    "unacked_key",
    "unacked_mutex_expire",
    "unacked_mutex_key",
    "unacked_restore_interval",
    "unacked_restore_limit",
    "unacked_restore_throttle",
    "visibility_timeout",
    "write_timeout",
];

impl TransportOptions {
    /// Reads the table `transport_options`, and records errors in `fields`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.part("transport_options", |fields| {
            fields.allow(OTHERS);
            Self::read_options(fields)
        })
    }

    fn read_options(fields: &mut Fields<'_>) -> Option<Self> {
        let global_keyprefix = fields.with_default("global_keyprefix", String::new());
        let fanout_prefix = fields.with_default("fanout_prefix", FanoutPrefix::Enabled(true));
        let sep: Option<String> = fields.optional("sep");
        let priority_steps = fields.with_default("priority_steps", PRIORITY_STEPS.to_vec());
        let sentinel_fanout_compat = fields.with_default("sentinel_fanout_compat", false);
        let sentinel = read_sentinel(fields);
        if sep.as_ref().is_some_and(String::is_empty) {
            fields.error("sep", "expected at least one character");
            return None;
        }
        if !priority_steps.is_sorted() || priority_steps.first() != Some(&0) {
            fields.error("priority_steps", "expected ascending numbers that begin with 0");
            return None;
        }
        Some(Self {
            global_keyprefix,
            fanout_prefix: fanout_prefix.text(),
            sep,
            priority_steps,
            sentinel_fanout_compat,
            sentinel,
        })
    }

    /// The name of a key.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.global_keyprefix)
    }

    /// The channels of a fanout exchange; a worker listens on one of them.
    ///
    /// With Sentinel, kombu before 5.4 does not replace `{db}`. Later versions with `sentinel_fanout_compat` listen on both channels.
    pub(crate) fn channels(&self, database: u16, is_sentinel: bool, exchange: &str) -> Vec<String> {
        let literal = self.key(&format!("{}{exchange}", self.fanout_prefix));
        let prefix = self.fanout_prefix.replace(DATABASE, &database.to_string());
        let replaced = self.key(&format!("{prefix}{exchange}"));
        match (is_sentinel && literal != replaced, self.sentinel_fanout_compat) {
            (false, _) => vec![replaced],
            (true, false) => vec![replaced, literal],
            (true, true) => vec![literal],
        }
    }

    /// The set in which the bindings of an exchange are stored.
    pub(crate) fn bindings_key(&self, exchange: &str) -> String {
        self.key(&format!("_kombu.binding.{exchange}"))
    }

    /// The lists of a queue, one for each priority.
    pub(crate) fn queue_lists(&self, queue: &str, separator: &Separator) -> Vec<String> {
        let list = |step: &u64| match step {
            0 => self.key(queue),
            step => self.key(&format!("{queue}{}{step}", separator.text)),
        };
        self.priority_steps.iter().map(list).collect()
    }

    /// The separator that a list of permissions assumes, since it is written without contacting the broker.
    pub(crate) fn assumed_separator(&self) -> Separator {
        let text = self.sep.clone().unwrap_or_else(|| SEPARATOR.to_owned());
        Separator { text, observed: false }
    }

    /// The separator that the workers use: the configured one, that of most `bindings` of theirs, or kombu's.
    ///
    /// It is known only if all of these bindings have it: those of workers that were killed remain, also if the option `sep` of the others has changed.
    pub(crate) fn separator(&self, bindings: &[&str]) -> Separator {
        let mut found: BTreeMap<&str, usize> = BTreeMap::new();
        for separator in bindings.iter().filter_map(|binding| separator_of(binding)) {
            *found.entry(separator).or_default() += 1;
        }
        let most = found.iter().max_by_key(|(_, count)| **count).map(|(separator, _)| *separator);
        let Some(text) = self.sep.as_deref().or(most) else { return self.assumed_separator() };
        let observed = found.len() == 1 && found.contains_key(text);
        Separator { text: text.to_owned(), observed }
    }
}

/// Reads `master_name` and `sentinel_kwargs`, and records errors in `fields`.
pub(crate) fn read_sentinel(fields: &mut Fields<'_>) -> SentinelSettings {
    let service = fields.optional("master_name");
    let SentinelKwargs { username, password } =
        fields.optional("sentinel_kwargs").unwrap_or_default();
    SentinelSettings { service, username, password }
}

/// The value of `sentinel_kwargs`: the settings of connections to sentinels.
#[derive(Default)]
struct SentinelKwargs {
    username: Option<String>,
    password: Option<Secret>,
}

impl SentinelKwargs {
    /// Keys that change no meaning.
    const OTHERS: &[&str] = &[
        "client_name",
        "health_check_interval",
        "protocol",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
    ];
}

impl FromNode for SentinelKwargs {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        let Value::Table(entries) = &node.value else {
            return Err(ValueError::expected("a table", &node.value));
        };
        let mut kwargs = Self::default();
        for (key, node) in entries {
            match key.as_str() {
                "username" => kwargs.username = Some(String::from_node(node)?),
                "password" => kwargs.password = Some(Secret::from_node(node)?),
                key if Self::OTHERS.contains(&key) => {}
                _ => {
                    let expected = "expected no keys but `username`, `password`, and those of pools and deadlines such as `socket_timeout`";
                    return Err(expected.to_owned().into());
                }
            }
        }
        Ok(kwargs)
    }
}

/// The value of `fanout_prefix`, as written.
enum FanoutPrefix {
    /// Whether channels have kombu's prefix.
    Enabled(bool),
    Custom(String),
}

impl FanoutPrefix {
    fn text(self) -> String {
        match self {
            Self::Enabled(true) => FANOUT_PREFIX.to_owned(),
            Self::Enabled(false) => String::new(),
            Self::Custom(prefix) => prefix,
        }
    }
}

impl FromNode for FanoutPrefix {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::Boolean(enabled) => Ok(Self::Enabled(*enabled)),
            Value::String(_) | Value::Unknown(_) => String::from_node(node).map(Self::Custom),
            other => Err(ValueError::expected("`true`, `false` or a string", other)),
        }
    }
}

/// Prints the value as written.
impl fmt::Debug for FanoutPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled(enabled) => enabled.fmt(f),
            Self::Custom(prefix) => prefix.fmt(f),
        }
    }
}

/// The separator between the parts of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Separator {
    text: String,
    observed: bool,
}

impl Separator {
    /// Whether the workers are known to use it, so that they can read a binding that contains it.
    pub(crate) fn is_known(&self) -> bool {
        self.observed
    }

    /// A binding: routing key, pattern and queue.
    pub(crate) fn binding(&self, routing_key: &str, queue: &str) -> String {
        [routing_key, "", queue].join(&self.text)
    }
}

/// The separator in the binding of a worker's own queue, which has neither a routing key nor a pattern, so the binding begins with the separator twice.
fn separator_of(binding: &str) -> Option<&str> {
    let longest = MAX_SEPARATOR.min(binding.len() / 2);
    let separators = (1..=longest).rev().filter_map(|length| {
        let separator = binding.get(..length)?;
        binding.get(length..)?.starts_with(separator).then_some(separator)
    });
    separators.into_iter().next()
}

/// The queue in the binding of a worker's own queue.
pub(crate) fn own_queue(binding: &str) -> Option<&str> {
    binding.get(separator_of(binding)?.len() * 2..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_kombu_s_format() {
        let options = TransportOptions::default();
        let separator = options.assumed_separator();
        assert_eq!(options.channels(1, false, "celery.pidbox"), ["/1.celery.pidbox"]);
        assert_eq!(
            options.bindings_key("reply.celery.pidbox"),
            "_kombu.binding.reply.celery.pidbox"
        );
        assert_eq!(separator.binding("me", "the-list"), "me\x06\x16\x06\x16the-list");
        assert_eq!(
            options.queue_lists("a", &separator),
            ["a", "a\x06\x163", "a\x06\x166", "a\x06\x169"]
        );
    }

    #[test]
    fn channels_have_the_fanout_prefix() {
        let check = |prefix: FanoutPrefix, is_sentinel, expected: &[&str]| {
            let fanout_prefix = prefix.text();
            let options = TransportOptions { fanout_prefix, ..TransportOptions::default() };
            assert_eq!(options.channels(3, is_sentinel, "x"), expected);
        };
        check(FanoutPrefix::Enabled(true), false, &["/3.x"]);
        check(FanoutPrefix::Enabled(true), true, &["/3.x", "/{db}.x"]);
        check(FanoutPrefix::Enabled(false), true, &["x"]);
        check(FanoutPrefix::Custom("/a{db}.".to_owned()), false, &["/a3.x"]);
    }

    #[test]
    fn a_worker_s_binding_shows_the_separator() {
        let options = TransportOptions::default();
        let check = |bindings: &[&str], expected: &str| {
            assert_eq!(options.separator(bindings).text, expected, "{bindings:?}");
        };
        check(&["\x06\x16\x06\x16w1@host.celery.pidbox"], "\x06\x16");
        assert_eq!(
            own_queue("\x06\x16\x06\x16w1@host.celery.pidbox"),
            Some("w1@host.celery.pidbox")
        );
        check(&["::w1@host.celery.pidbox", "::w2@host.celery.pidbox"], ":");
        check(&["::::w1@host.celery.pidbox"], "::");
        check(&["ééw1@host.celery.pidbox"], "é");
        check(&["no separator at its beginning"], SEPARATOR);
        let too_long: String = ('\u{100}'..'\u{180}').collect();
        check(&[&format!("{too_long}{too_long}w1")], SEPARATOR);
        check(&[], SEPARATOR);
    }

    #[test]
    fn nothing_is_known_from_contradicting_separators() {
        let mut options = TransportOptions::default();
        let mixed =
            ["::w1@host.celery.pidbox", "||w2@host.celery.pidbox", "||w3@host.celery.pidbox"];
        let check = |options: &TransportOptions, bindings: &[&str], text: &str, observed| {
            let expected = Separator { text: text.to_owned(), observed };
            assert_eq!(options.separator(bindings), expected, "{bindings:?}");
        };
        check(&options, &mixed, "|", false);
        check(&options, &mixed[..1], ":", true);
        options.sep = Some(":".to_owned());
        check(&options, &mixed, ":", false);
        check(&options, &mixed[1..], ":", false);
        check(&options, &mixed[..1], ":", true);
        check(&options, &[], ":", false);
    }
}
