//! The backends of the measurements, and their sections of the gateway's configuration.

use std::net::SocketAddr;

use stack::{
    CELERY_QUEUES, HEALTH_PASSWORD, HEALTH_USER, POSTGRES, POSTGRES_DATABASE, RABBIT, RABBIT_VHOST,
    REDIS, REDIS2,
};

use crate::error::{Error, Result};
use crate::proxy::CountingProxy;
use crate::tls::TlsClient;

/// The caches' names; the database of each is its position, counted from one.
pub(crate) const CACHES: [&str; 4] = ["data", "pages", "task_lock", "task_queue"];

/// The address of each check's backend: a server of the shared stack, or a proxy in front of it.
#[derive(Clone, Debug)]
pub(crate) struct Backends {
    pub(crate) postgres: SocketAddr,
    pub(crate) redis: SocketAddr,
    pub(crate) redis2: SocketAddr,
    pub(crate) caches: [SocketAddr; 4],
    pub(crate) rabbit: SocketAddr,
    pub(crate) celery: SocketAddr,
    /// How all of them are connected to, if that is over TLS.
    pub(crate) tls: Option<TlsClient>,
}

impl Default for Backends {
    fn default() -> Self {
        Self {
            postgres: POSTGRES.into(),
            redis: REDIS.into(),
            redis2: REDIS2.into(),
            caches: [REDIS2.into(); 4],
            rabbit: RABBIT.into(),
            celery: RABBIT.into(),
            tls: None,
        }
    }
}

impl Backends {
    /// Returns the sections of PostgreSQL, two Redis, four caches, `RabbitMQ`, and Celery's ping and three queues.
    pub(crate) fn sections(&self) -> String {
        self.sections_with("")
    }

    /// Returns the same sections with these `settings` of a connection, each a line.
    pub(crate) fn sections_with(&self, settings: &str) -> String {
        let user = format!("{HEALTH_USER}:{HEALTH_PASSWORD}");
        let (redis_scheme, amqp_scheme, sslmode, ca) = match &self.tls {
            Some(tls) => ("rediss", "amqps", "verify-full", tls.setting()),
            None => ("redis", "amqp", "disable", String::new()),
        };
        let settings = format!("{ca}{settings}");
        let caches: Vec<_> = CACHES
            .iter()
            .zip(self.caches)
            .zip(1..)
            .map(|((name, address), db)| {
                format!(
                    "[cache.{name}]\nurl = \"{redis_scheme}://{user}@{address}/{db}\"\n{settings}\n"
                )
            })
            .collect();
        let Self { postgres, redis, redis2, rabbit, celery, .. } = self;
        format!(
            "{}\
             [celery]\nbroker = \"{amqp_scheme}://{user}@{celery}/{RABBIT_VHOST}\"\nqueues = {CELERY_QUEUES:?}\n{settings}\n\
             [postgres]\nurl = \"postgres://{user}@{postgres}/{POSTGRES_DATABASE}?sslmode={sslmode}\"\n{settings}\n\
             [rabbit]\nurl = \"{amqp_scheme}://{user}@{rabbit}/{RABBIT_VHOST}\"\n{settings}\n\
             [redis2]\nkind = \"redis\"\nurl = \"{redis_scheme}://{user}@{redis2}/0\"\n{settings}\n\
             [redis]\nurl = \"{redis_scheme}://{user}@{redis}/0\"\n{settings}\n",
            caches.concat()
        )
    }

    /// Returns the addresses of all servers.
    pub(crate) fn addresses(&self) -> [SocketAddr; 9] {
        let [data, pages, lock, queue] = self.caches;
        [self.postgres, self.redis, self.redis2, data, pages, lock, queue, self.rabbit, self.celery]
    }
}

/// A proxy in front of each check's backend, which counts the runs of that check.
pub(crate) struct ProxiedBackends {
    proxies: Vec<(String, CountingProxy)>,
    backends: Backends,
}

impl ProxiedBackends {
    /// Starts the proxies. Each counts patterns that occur only in a check's requests.
    pub(crate) fn new() -> Result<Self> {
        let Backends { postgres, redis, redis2, caches, rabbit, celery, tls } = Backends::default();
        let mut proxies = Vec::new();
        let mut start = |name: &str, server, patterns: &[&str]| {
            let proxy = CountingProxy::start(server, patterns)?;
            let address = proxy.address();
            proxies.push((name.to_owned(), proxy));
            Ok::<_, Error>(address)
        };
        // `queue.declare` starts with a reserved short and the length-prefixed name of the queue.
        let queues =
            CELERY_QUEUES.map(|queue| format!("\0\x32\0\x0a\0\0{}{queue}", length_prefix(queue)));
        let celery_patterns: Vec<_> =
            std::iter::once("\"ticket\"").chain(queues.iter().map(String::as_str)).collect();
        let mut backends = Backends {
            postgres: start("postgres", postgres, &["pg_is_in_recovery"])?,
            redis: start("redis", redis, &["\r\nSET\r\n"])?,
            redis2: start("redis2", redis2, &["\r\nSET\r\n"])?,
            caches,
            rabbit: start("rabbit", rabbit, &["\"health-gateway\""])?,
            celery: start("celery", celery, &celery_patterns)?,
            tls,
        };
        for (name, cache) in CACHES.iter().zip(&mut backends.caches) {
            *cache = start(&format!("cache.{name}"), *cache, &["\r\nSET\r\n"])?;
        }
        Ok(Self { proxies, backends })
    }

    /// Returns the addresses of the proxies.
    pub(crate) fn backends(&self) -> &Backends {
        &self.backends
    }

    pub(crate) fn proxies(&self) -> impl Iterator<Item = &CountingProxy> {
        self.proxies.iter().map(|(_, proxy)| proxy)
    }

    /// Returns the number of connections that were opened so far.
    pub(crate) fn accepted(&self) -> usize {
        self.proxies().map(CountingProxy::accepted).sum()
    }

    /// Returns the number of runs of each check so far.
    pub(crate) fn runs(&self) -> Vec<(String, usize)> {
        let mut runs = Vec::new();
        for (name, proxy) in &self.proxies {
            let names = match name.as_str() {
                "celery" => {
                    let queues = CELERY_QUEUES.map(|queue| format!("celery.queues.{queue}"));
                    [vec!["celery.ping".to_owned()], queues.to_vec()].concat()
                }
                name => vec![name.to_owned()],
            };
            runs.extend(names.into_iter().zip(proxy.matches()));
        }
        runs
    }
}

/// Returns the length prefix of a short string.
fn length_prefix(name: &str) -> char {
    u8::try_from(name.len()).map_or('\0', char::from)
}
