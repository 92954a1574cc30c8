//! The private servers of the soak, and a proxy in front of each.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use probe_testkit::FaultProxy;
use stack::celery::{App, Pool, Worker};
use stack::clickhouse::Clickhouse;
use stack::edge::Edge;
use stack::history::{Behaviour, History};
use stack::localstack::Localstack;
use stack::moto::Moto;
use stack::postgres::Postgres;
use stack::rabbit::Rabbit;
use stack::redis::Redis;
use stack::vault::Vault;
use stack::websocket::Websocket;
use stack::{
    CELERY_QUEUES, CLICKHOUSE, EDGE, HEALTH_PASSWORD, HEALTH_USER, HISTORY, LOCALSTACK, MOTO,
    POSTGRES, RABBIT, REDIS, REDIS2, VAULT, WEBSOCKET,
};

use crate::error::{Context, Result};

/// All servers of the demo's configuration.
pub(super) struct Servers {
    pub(super) postgres: Postgres,
    pub(super) redis: Redis,
    pub(super) redis2: Redis,
    pub(super) rabbit: Rabbit,
    _celery: (Worker, App),
    pub(super) vault: Vault,
    pub(super) clickhouse: Clickhouse,
    _history: History,
    pub(super) localstack: Localstack,
    _moto: Moto,
    _edge: Edge,
    pub(super) websocket: Websocket,
    /// The address of each server on the shared stack, and the proxy that takes its place.
    proxies: Vec<(SocketAddrV4, Arc<FaultProxy>)>,
    distribution: String,
}

impl Servers {
    /// Starts the servers and the proxies.
    pub(super) fn start() -> Result<Self> {
        eprintln!("soak: starting the servers");
        let postgres = Postgres::start(&[])?;
        let (redis, redis2) = (Redis::start(&[])?, Redis::start(&[])?);
        let rabbit = Rabbit::start(&[])?;
        let app = App::new(&rabbit.admin_url(), "rpc://")?;
        let worker = app.worker("soak", Pool::Prefork, &CELERY_QUEUES)?;
        let vault = Vault::start()?;
        let clickhouse = Clickhouse::start()?;
        let history = History::start(clickhouse.port(), Behaviour::Works)?;
        let localstack = Localstack::start()?;
        localstack.bus(history.port())?;
        let (moto, edge, websocket) = (Moto::start()?, Edge::start()?, Websocket::start(None)?);
        let distribution = moto.distribution()?.id;
        let proxy = |port| Arc::new(FaultProxy::start((Ipv4Addr::LOCALHOST, port).into()));
        let proxies = vec![
            (POSTGRES, proxy(postgres.port())),
            (REDIS, proxy(redis.port())),
            (REDIS2, proxy(redis2.port())),
            (RABBIT, proxy(rabbit.port())),
            (VAULT, proxy(vault.port())),
            (CLICKHOUSE, proxy(clickhouse.port())),
            (HISTORY, proxy(history.port())),
            (LOCALSTACK, proxy(localstack.port())),
            (MOTO, proxy(moto.port())),
            (EDGE, proxy(edge.port())),
            (WEBSOCKET, proxy(websocket.port())),
        ];
        let servers = Self {
            postgres,
            redis,
            redis2,
            rabbit,
            _celery: (worker, app),
            vault,
            clickhouse,
            _history: history,
            localstack,
            _moto: moto,
            _edge: edge,
            websocket,
            proxies,
            distribution,
        };
        servers.set_redis_password(HEALTH_PASSWORD)?;
        Ok(servers)
    }

    pub(super) fn proxies(&self) -> Vec<Arc<FaultProxy>> {
        self.proxies.iter().map(|(_, proxy)| proxy.clone()).collect()
    }

    /// Returns the demo's configuration with the addresses of the proxies.
    pub(super) fn config(&self) -> String {
        self.proxies.iter().fold(stack::demo_toml(&self.distribution), |config, (shared, proxy)| {
            config.replace(&shared.to_string(), &proxy.address().to_string())
        })
    }

    /// Returns the address of the proxy in front of the Redis of `redis`.
    pub(super) fn redis_proxy(&self) -> Result<SocketAddr> {
        let proxy = self.proxies.iter().find(|(shared, _)| *shared == REDIS);
        proxy.map(|(_, proxy)| proxy.address()).ok_or("no proxy").context("redis")
    }

    /// Sets the password of the gateway's user, which is created if it does not exist.
    pub(super) fn set_redis_password(&self, password: &str) -> Result<()> {
        let password = format!(">{password}");
        let user = ["ACL", "SETUSER", HEALTH_USER, "reset", "on", &password];
        let grants = ["~health-gateway:*", "+set", "+get", "+del", "+select"];
        let command = [&user[..], &grants[..]].concat();
        [&self.redis, &self.redis2].into_iter().try_for_each(|redis| {
            let reply = redis.command(&command)?;
            if reply == "OK" { Ok(()) } else { Err(reply).context("redis: ACL SETUSER") }
        })
    }
}
