//! The floor: the gateway's requests on open raw sockets, all at once, without HTTP.
//!
//! No client that sends these requests to these backends can be faster, in any language.

mod amqp;
mod celery;
mod postgres;
mod rabbit;
mod redis;
mod scram;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::thread;

use self::socket::Endpoint;
use crate::backends::Backends;
use crate::error::{Context, Error, Result};

/// Which requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requests {
    /// The requests of the gateway, which verify the conditions of `working`.
    OfGateway,
    /// The same as in the first run after a start, in which PostgreSQL also has to commit.
    OfFirstRun,
    /// The smallest requests of each protocol, which verify less: `SELECT 1`, `PING`, a passive declaration, Celery's `ping`.
    Smallest,
}

/// An open connection that repeats the same requests.
trait FloorConnection: Send {
    /// Sends the requests.
    fn send_requests(&mut self) -> io::Result<()>;

    /// Reads the responses, and verifies them.
    fn read_responses(&mut self) -> io::Result<()>;
}

type Connector = Box<dyn FnOnce() -> io::Result<Box<dyn FloorConnection>> + Send>;

/// Open connections to all backends.
pub(crate) struct Floor(Vec<Box<dyn FloorConnection>>);

impl Floor {
    /// Opens all connections at once.
    pub(crate) fn connect(backends: &Backends, requests: Requests) -> Result<Self> {
        let opening: Vec<_> = connectors(backends, requests)
            .into_iter()
            .map(|(name, open)| (name, thread::spawn(open)))
            .collect();
        let mut connections = Vec::new();
        for (name, connection) in opening {
            let connection = connection
                .join()
                .map_err(|_| Error::new(format!("{name}: opening it panicked")))?;
            connections.push(connection.context(name)?);
        }
        Ok(Self(connections))
    }

    /// Opens a connection to a Redis for each of a number of checks.
    pub(crate) fn of_redis(address: SocketAddr, checks: usize) -> Result<Self> {
        let server = Endpoint { address, tls: None };
        let open = |_| -> io::Result<Box<dyn FloorConnection>> {
            Ok(Box::new(redis::Redis::open(&server, 0, redis::Commands::Write)?))
        };
        let connections: io::Result<_> = (0..checks).map(open).collect();
        Ok(Self(connections.context("redis")?))
    }

    /// Returns the number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.0.len()
    }

    /// Sends all requests, and waits for all responses.
    pub(crate) fn run(&mut self) -> Result<()> {
        for connection in &mut self.0 {
            connection.send_requests().context("send the floor's requests")?;
        }
        // The order does not matter: a response that has arrived does not wait.
        self.0.iter_mut().try_for_each(|connection| {
            connection.read_responses().context("read the floor's responses")
        })
    }
}

/// Returns functions that open the connections, the slowest backend first.
fn connectors(backends: &Backends, requests: Requests) -> Vec<(&'static str, Connector)> {
    let Backends { postgres, redis, redis2, caches, rabbit, celery, ref tls } = *backends;
    let at = |address| Endpoint { address, tls: tls.clone() };
    let (celery, rabbit, postgres) = (at(celery), at(rabbit), at(postgres));
    let mut connectors: Vec<(&'static str, Connector)> = vec![
        ("celery", Box::new(move || Ok(Box::new(celery::Celery::open(&celery, requests)?)))),
        ("rabbit", Box::new(move || Ok(Box::new(rabbit::Rabbit::open(&rabbit, requests)?)))),
        (
            "postgres",
            Box::new(move || Ok(Box::new(postgres::Postgres::open(&postgres, requests)?))),
        ),
    ];
    for address in [redis, redis2] {
        connectors.push((
            "redis",
            redis_connector(at(address), 0, redis::Commands::for_server(requests)),
        ));
    }
    for (address, database) in caches.into_iter().zip(1..) {
        connectors.push(("cache", redis_connector(at(address), database, redis::Commands::Canary)));
    }
    connectors
}

fn redis_connector(server: Endpoint, database: u16, commands: redis::Commands) -> Connector {
    Box::new(move || Ok(Box::new(redis::Redis::open(&server, database, commands)?)))
}
