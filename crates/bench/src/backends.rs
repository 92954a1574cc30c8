//! The backends of the comparison, and the configuration in which the gateway asks them.

use std::net::SocketAddr;

use stack::{
    CELERY_QUEUES, HEALTH_PASSWORD, HEALTH_USER, POSTGRES, POSTGRES_DATABASE, RABBIT, RABBIT_VHOST,
    REDIS, REDIS2,
};

use crate::error::{Error, Result};
use crate::tap::Tap;

/// The caches' names; each has the database of its position, counted from one.
pub(crate) const CACHES: [&str; 4] = ["data", "pages", "task_lock", "task_queue"];

/// Where each check's backend is: the servers of the shared stack, unless something stands before them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backends {
    pub(crate) postgres: SocketAddr,
    pub(crate) redis: SocketAddr,
    pub(crate) redis2: SocketAddr,
    pub(crate) caches: [SocketAddr; 4],
    pub(crate) rabbit: SocketAddr,
    pub(crate) celery: SocketAddr,
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
        }
    }
}

impl Backends {
    /// PostgreSQL, two Redis, four caches, `RabbitMQ`, Celery's ping and three queues.
    pub(crate) fn sections(&self) -> String {
        let user = format!("{HEALTH_USER}:{HEALTH_PASSWORD}");
        let caches: Vec<_> = CACHES
            .iter()
            .zip(self.caches)
            .zip(1..)
            .map(|((name, address), db)| format!("{name} = \"redis://{user}@{address}/{db}\"\n"))
            .collect();
        let Self { postgres, redis, redis2, rabbit, celery, .. } = self;
        format!(
            "[cache]\n{}\n\
             [celery]\nbroker = \"amqp://{user}@{celery}/{RABBIT_VHOST}\"\nqueues = {CELERY_QUEUES:?}\n\n\
             [postgres]\nurl = \"postgres://{user}@{postgres}/{POSTGRES_DATABASE}?sslmode=disable\"\n\n\
             [rabbit]\nurl = \"amqp://{user}@{rabbit}/{RABBIT_VHOST}\"\n\n\
             [redis2]\nkind = \"redis\"\nurl = \"redis://{user}@{redis2}/0\"\n\n\
             [redis]\nurl = \"redis://{user}@{redis}/0\"\n",
            caches.concat()
        )
    }
}

/// A tap before each check's backend, which counts the runs of that check.
pub(crate) struct Tapped {
    taps: Vec<(String, Tap)>,
    backends: Backends,
}

impl Tapped {
    /// What stands in a check's question, and nowhere else.
    pub(crate) fn new() -> Result<Self> {
        let Backends { postgres, redis, redis2, caches, rabbit, celery } = Backends::default();
        let mut taps = Vec::new();
        let mut tap = |name: &str, server, marks: &[&str]| {
            let tap = Tap::before(server, marks)?;
            let listen = tap.listen();
            taps.push((name.to_owned(), tap));
            Ok::<_, Error>(listen)
        };
        // A declaration begins with a reserved number and the queue's name, with its length before it.
        let queues = CELERY_QUEUES.map(|queue| format!("\0\x32\0\x0a\0\0{}{queue}", length(queue)));
        let asked: Vec<_> =
            std::iter::once("\"ticket\"").chain(queues.iter().map(String::as_str)).collect();
        let mut backends = Backends {
            postgres: tap("postgres", postgres, &["pg_is_in_recovery"])?,
            redis: tap("redis", redis, &["\r\nSET\r\n"])?,
            redis2: tap("redis2", redis2, &["\r\nSET\r\n"])?,
            caches,
            rabbit: tap("rabbit", rabbit, &["\"health-gateway\""])?,
            celery: tap("celery", celery, &asked)?,
        };
        for (name, cache) in CACHES.iter().zip(&mut backends.caches) {
            *cache = tap(&format!("cache.{name}"), *cache, &["\r\nSET\r\n"])?;
        }
        Ok(Self { taps, backends })
    }

    /// Where the gateway finds them.
    pub(crate) fn backends(&self) -> &Backends {
        &self.backends
    }

    pub(crate) fn taps(&self) -> impl Iterator<Item = &Tap> {
        self.taps.iter().map(|(_, tap)| tap)
    }

    /// How many connections were opened so far.
    pub(crate) fn accepted(&self) -> usize {
        self.taps().map(Tap::accepted).sum()
    }

    /// How often each check was run so far.
    pub(crate) fn runs(&self) -> Vec<(String, usize)> {
        let mut runs = Vec::new();
        for (name, tap) in &self.taps {
            let names = match name.as_str() {
                "celery" => {
                    let queues = CELERY_QUEUES.map(|queue| format!("celery.queues.{queue}"));
                    [vec!["celery.ping".to_owned()], queues.to_vec()].concat()
                }
                name => vec![name.to_owned()],
            };
            runs.extend(names.into_iter().zip(tap.seen()));
        }
        runs
    }
}

/// A name's length as the protocol writes it.
fn length(name: &str) -> char {
    u8::try_from(name.len()).map_or('\0', char::from)
}
