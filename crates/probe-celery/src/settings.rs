//! Reads the settings of a Celery application.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use probe::config::{Fields, FromNode, Node, UrlText, Value, ValueError};
use probe::{CheckName, Cleanups, Reconnect, SharedResources};

use crate::PING;
use crate::broker::{Broker, BrokerOptions, BrokerUrl};
use crate::canary::QueueCanary;
use crate::content::{AcceptContent, Serializer};
use crate::inspect::{CONTROL_EXCHANGE, ControlExchanges};
use crate::result_backend::{ResultBackend, ResultOptions};
use crate::transport::TransportOptions;

/// The settings of one section.
pub(crate) struct Settings {
    pub(crate) broker: Option<Broker>,
    pub(crate) workers: Workers,
    pub(crate) queues: Vec<QueueSettings>,
    results: Option<ResultBackend>,
    cleanups: Cleanups,
}

/// The settings of the broker and the result backend.
struct Servers {
    url: BrokerUrl,
    broker: BrokerOptions,
    result_backend: Option<ResultBackendUrl>,
    result_options: ResultOptions,
    tls: net::TlsSettings,
}

/// The settings of one queue.
pub(crate) struct QueueSettings {
    pub(crate) name: String,
    pub(crate) max_messages: Option<u64>,
    pub(crate) canary: bool,
    /// How many consumers need not reply.
    pub(crate) max_silent: u64,
    /// For how long messages may wait without becoming fewer.
    pub(crate) stalled_after: Option<Duration>,
}

impl QueueSettings {
    pub(crate) fn check_name(&self) -> String {
        format!("queues.{}", self.name)
    }
}

/// The workers that must reply.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Workers {
    /// At least this many, whatever their names.
    AtLeast(usize),
    /// The nodes with these names.
    Named(Vec<String>),
}

impl Settings {
    pub(crate) fn read(shared: &SharedResources, fields: &mut Fields<'_>) -> Self {
        let url: Option<BrokerUrl> = fields.required("broker");
        let result_backend: Option<ResultBackendUrl> = fields.optional("result_backend");
        let tls = net::TlsSettings::read(fields);
        let workers = fields.with_default("workers", Workers::AtLeast(1));
        let queue_prefix = fields.with_default("queue_prefix", String::new());
        let control_exchange = fields.with_default("control_exchange", CONTROL_EXCHANGE.to_owned());
        let accept_content = fields.with_default("accept_content", AcceptContent::default());
        let serializer = accept_content.serializer().unwrap_or_else(|message| {
            fields.error("accept_content", message);
            Serializer::default()
        });
        let transport_options = TransportOptions::read(fields);
        let result_options = ResultBackend::read_options(fields);
        let reconnect = Reconnect::read(fields);
        let max_messages: Option<u64> = fields.optional("max_messages");
        let canary = fields.with_default("canary", false);
        let max_silent = fields.with_default("max_silent", 0);
        let stalled_after: Option<Duration> = fields.optional("stalled_after");
        let queues = fields.tables("queues", |name, queue| QueueSettings {
            name: name.to_owned(),
            max_messages: queue.optional("max_messages").or(max_messages),
            canary: queue.optional("canary").unwrap_or(canary),
            max_silent: queue.optional("max_silent").unwrap_or(max_silent),
            stalled_after: queue.optional("stalled_after").or(stalled_after),
        });
        if workers == Workers::AtLeast(0) && !queues.iter().any(|queue| queue.canary) {
            fields.error("workers", "expected at least 1 without a queue that has a canary");
        }
        if queues.iter().any(|queue| queue.canary) && !fields.has("result_backend") {
            fields
                .error("canary", "expected `result_backend` beside it, as the application has it");
        }
        for key in ["max_messages", "canary", "max_silent", "stalled_after"] {
            if fields.has(key) && !fields.has("queues") {
                fields.error(key, "expected `queues` beside it");
            }
        }
        let cleanups = shared.cleanups().clone();
        let mut settings = Self { broker: None, workers, queues, results: None, cleanups };
        if let (
            Some(url),
            Some(tls),
            Some(reconnect),
            Some(transport_options),
            Some(result_options),
        ) = (url, tls, reconnect, transport_options, result_options)
        {
            let exchanges = ControlExchanges::new(&control_exchange);
            let broker =
                BrokerOptions { queue_prefix, exchanges, transport_options, serializer, reconnect };
            let servers = Servers { url, broker, result_backend, result_options, tls };
            settings.read_servers(shared, fields, servers);
        }
        settings
    }

    /// The names of all checks, in the order of the file.
    pub(crate) fn names(&self, fields: &mut Fields<'_>) -> Vec<CheckName> {
        let names = std::iter::once(PING.to_owned());
        let names = names.chain(self.queues.iter().map(QueueSettings::check_name));
        let mut valid = Vec::new();
        for name in names {
            match CheckName::new(name) {
                Ok(name) => valid.push(name),
                Err(message) => fields.error("queues", message),
            }
        }
        valid
    }

    /// The canary of a queue, if broker and result backend are valid.
    pub(crate) fn canary_of(&self, queue: &QueueSettings) -> Option<Arc<QueueCanary>> {
        let (broker, results) = (self.broker.clone()?, self.results.clone()?);
        Some(Arc::new(QueueCanary::new(broker, results, &queue.name, self.cleanups.clone())))
    }

    fn read_servers(
        &mut self,
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        Servers { url, broker: options, result_backend, result_options, tls }: Servers,
    ) {
        let (url, tls) = (&url, &tls);
        let is_backend_encrypted = match &result_backend {
            Some(ResultBackendUrl::Redis(url)) => redis_client::is_encrypted(url.expose()),
            _ => false,
        };
        let encrypted = url.is_encrypted() || is_backend_encrypted;
        let read_tls = tls.expect_use(fields, encrypted, "a URL that asks for TLS");
        let reconnect = options.reconnect;
        self.broker = read_tls.and_then(|()| Broker::read(shared, fields, url, tls, options));
        self.results = match result_backend {
            None => None,
            Some(ResultBackendUrl::Redis(url)) => {
                ResultBackend::read(shared, fields, &url, tls, reconnect, result_options)
            }
            Some(ResultBackendUrl::Rpc) => match &self.broker {
                Some(Broker::Redis(_)) => {
                    fields.error("result_backend", "expected `rpc://` only with a broker on AMQP");
                    None
                }
                _ => Some(ResultBackend::Rpc),
            },
        };
    }
}

/// The URL of a result backend, as written.
enum ResultBackendUrl {
    Rpc,
    Redis(UrlText),
}

impl FromNode for ResultBackendUrl {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        let text = UrlText::from_node(node)?;
        if text.expose() == "rpc://" {
            return Ok(Self::Rpc);
        }
        if redis_client::has_scheme(text.expose()) {
            return Ok(Self::Redis(text));
        }
        let expected = "expected `rpc://`, or a URL that begins with `redis://`, `rediss://`, `redis-sentinel://`, `rediss-sentinel://` or `unix://`; only the canary of a queue needs it";
        Err(expected.to_owned().into())
    }
}

/// Prints the value as written.
impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(number) => number.fmt(f),
            Self::Named(names) => names.fmt(f),
        }
    }
}

impl FromNode for Workers {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        let error = || {
            ValueError::Wrong(
                "expected a number, or names of nodes such as `[\"w1@host\"]`".to_owned(),
            )
        };
        match &node.value {
            Value::Integer(_) => {
                let number = u64::from_node(node).map_err(|_| error())?;
                usize::try_from(number).map(Self::AtLeast).map_err(|_| error())
            }
            Value::Array(names) if !names.is_empty() => Ok(Self::Named(Vec::from_node(node)?)),
            Value::Unknown(failure) => Err(ValueError::Unknown(failure.clone())),
            _ => Err(error()),
        }
    }
}
