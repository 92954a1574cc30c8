//! The store and the backends of the fleet, and what they count.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use stack::postgres::Postgres;
use stack::redis::Redis;
use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};

use crate::error::{Context, Result};
use crate::fleet::periods::Periods;
use crate::gateway::TOKEN;
use crate::proc;
use crate::proxy::CountingProxy;

/// How old a result may be. It is the default.
pub(super) const MAX_AGE: Duration = Duration::from_secs(1);
/// How long an answer may take.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// The servers of the fleet, with a proxy in front of each backend that counts its runs.
pub(super) struct Servers {
    pub(super) store: Mutex<Redis>,
    redis: Mutex<Redis>,
    postgres: Postgres,
    redis_proxy: CountingProxy,
    postgres_proxy: CountingProxy,
    /// When the backend Redis may have failed.
    pub(super) may_fail: Periods,
    /// When it cannot have worked.
    pub(super) must_fail: Periods,
}

/// What the backends have seen so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) at: Instant,
    /// The writes of the check of Redis and the queries of that of PostgreSQL: one for each run.
    pub(super) of: [usize; 2],
    /// The transactions by which the check of PostgreSQL proves commits.
    pub(super) commits: usize,
}

impl Servers {
    /// Starts the servers for this many gateways.
    pub(super) fn start(gateways: usize) -> Result<Self> {
        eprintln!("fleet: starting the servers");
        let (store, redis) = (Redis::start(&[])?, Redis::start(&[])?);
        // Without the store, every gateway has connections of its own: one in use, one that replaces it.
        let postgres = Postgres::start(&[&format!("max_connections = {}", 2 * gateways + 100)])?;
        let proxy = |port, patterns: &[&str]| {
            CountingProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), patterns)
        };
        Ok(Self {
            redis_proxy: proxy(redis.port(), &["\r\nSET\r\n"])?,
            postgres_proxy: proxy(
                postgres.port(),
                &["pg_is_in_recovery", "/* health-gateway: commit */"],
            )?,
            store: Mutex::new(store),
            redis: Mutex::new(redis),
            postgres,
            may_fail: Periods::default(),
            must_fail: Periods::default(),
        })
    }

    /// The configuration of a gateway, of which the results are shared or not.
    pub(super) fn config(&self, is_shared: bool) -> String {
        let (redis, postgres) = (self.redis_proxy.address(), self.postgres_proxy.address());
        let (max_age, answer) = (MAX_AGE.as_secs(), ANSWER_TIMEOUT.as_secs());
        let share = if is_shared {
            let store = self.store.lock().port();
            format!("share = true\n[share]\nstore = \"redis://127.0.0.1:{store}\"\n")
        } else {
            String::new()
        };
        format!(
            "namespace = \"fleet\"\naccess_token = \"{TOKEN}\"\nmax_age = \"{max_age}s\"\n\
             timeout = \"3s\"\nanswer_timeout = \"{answer}s\"\n\
             [postgres]\nurl = \"postgres://{HEALTH_USER}:{HEALTH_PASSWORD}@{postgres}/{POSTGRES_DATABASE}?sslmode=disable\"\n\
             [redis]\nurl = \"redis://{redis}\"\n{share}"
        )
    }

    pub(super) fn runs(&self) -> Runs {
        let of_postgres = self.postgres_proxy.matches();
        let of = [self.redis_proxy.matches()[0], of_postgres[0]];
        Runs { at: Instant::now(), of, commits: of_postgres[1] }
    }

    /// The connections that the gateways hold at the store, Redis and PostgreSQL.
    pub(super) fn connections(&self) -> Result<[usize; 3]> {
        let clients = |redis: &Mutex<Redis>| {
            let list = redis.lock().command(&["CLIENT", "LIST"])?;
            // The list includes the client that requests it.
            Ok(list.lines().count().saturating_sub(1))
        };
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{HEALTH_USER}'");
        let of_postgres = self.postgres.sql("postgres", &sql)?;
        let of_postgres = of_postgres.parse().context("PostgreSQL's connections")?;
        Ok([clients(&self.store)?, clients(&self.redis)?, of_postgres])
    }

    /// The CPU time of the store.
    pub(super) fn store_cpu(&self) -> Result<Duration> {
        let pid = self.store.lock().server.pid().ok_or("it does not run").context("the store")?;
        proc::own_cpu(pid)
    }

    /// The scripts that the store has run, and how long each has taken in microseconds.
    pub(super) fn scripts(&self) -> Result<String> {
        let stats = self.store.lock().command(&["INFO", "commandstats"])?;
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
        let fields = line.unwrap_or_default().split(',');
        Ok(fields.take(3).collect::<Vec<_>>().join(", "))
    }

    /// Stops the backend Redis.
    pub(super) fn stop_redis(&self) {
        self.may_fail.begin();
        self.redis.lock().server.stop();
        self.must_fail.begin();
    }

    /// Starts it again.
    pub(super) fn restart_redis(&self) -> Result<()> {
        self.must_fail.end();
        self.redis.lock().server.restart()?;
        self.may_fail.end();
        Ok(())
    }
}
