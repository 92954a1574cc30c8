//! Private servers of every backend of the measurements that are connected to over TLS.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use probe_testkit::TlsFiles;
use stack::celery::{App, Pool, Worker};
use stack::postgres::Postgres;
use stack::rabbit::Rabbit;
use stack::redis::Redis;
use stack::{CELERY_QUEUES, HEALTH_PASSWORD, HEALTH_USER, free_port};

use crate::backends::Backends;
use crate::error::{Context, Result};
use crate::tls::TlsClient;

/// The servers, which end when this value is dropped.
pub(crate) struct EncryptedServers {
    _postgres: Postgres,
    _redis: [Redis; 2],
    _celery: (Worker, App),
    _rabbit: Rabbit,
    backends: Backends,
    /// The servers read them for each connection.
    _files: TlsFiles,
}

impl EncryptedServers {
    pub(crate) fn start() -> Result<Self> {
        let files = TlsFiles::new("127.0.0.1");
        let (redis, first) = start_redis(&files)?;
        let (redis2, second) = start_redis(&files)?;
        let (rabbit, broker) = start_rabbit(&files)?;
        let app = App::new(&rabbit.admin_url(), "rpc://")?;
        let worker = app.worker("bench", Pool::Prefork, &CELERY_QUEUES)?;
        let postgres = start_postgres(&files)?;
        let backends = Backends {
            postgres: local(postgres.port()),
            redis: first,
            redis2: second,
            caches: [second; 4],
            rabbit: broker,
            celery: broker,
            tls: Some(TlsClient::new(files.ca())?),
        };
        Ok(Self {
            _postgres: postgres,
            _redis: [redis, redis2],
            _celery: (worker, app),
            _rabbit: rabbit,
            backends,
            _files: files,
        })
    }

    pub(crate) fn backends(&self) -> &Backends {
        &self.backends
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn start_postgres(files: &TlsFiles) -> Result<Postgres> {
    let mut postgres = Postgres::start(&[])?;
    // It refuses to use files of another user.
    for (name, file) in [("server.crt", files.certificate()), ("server.key", files.private_key())] {
        let text = fs::read_to_string(&file).context(&file.display().to_string())?;
        postgres.write(name, &text)?;
    }
    postgres.configure(&["ssl = on"])?;
    Ok(postgres)
}

/// Starts a Redis, and returns its address with TLS as well.
fn start_redis(files: &TlsFiles) -> Result<(Redis, SocketAddr)> {
    let port = free_port()?;
    let user = format!("user {HEALTH_USER} on >{HEALTH_PASSWORD} ~* +@all");
    let settings = files.redis_settings(port);
    let settings: Vec<_> = settings.iter().chain([&user]).map(String::as_str).collect();
    Ok((Redis::start(&settings)?, local(port)))
}

/// Starts a broker, and returns its address with TLS as well.
fn start_rabbit(files: &TlsFiles) -> Result<(Rabbit, SocketAddr)> {
    let port = free_port()?;
    let rabbit = Rabbit::start(&[
        &format!("listeners.ssl.1 = 127.0.0.1:{port}"),
        &format!("ssl_options.cacertfile = {}", files.ca().display()),
        &format!("ssl_options.certfile = {}", files.certificate().display()),
        &format!("ssl_options.keyfile = {}", files.private_key().display()),
        "ssl_options.verify = verify_none",
    ])?;
    Ok((rabbit, local(port)))
}
