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
use std::thread;

use crate::backends::Backends;
use crate::error::{Context, Error, Result};

/// Which requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requests {
    /// The requests of the gateway, which verify the conditions of `working`.
    OfGateway,
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
    let Backends { postgres, redis, redis2, caches, rabbit, celery } = *backends;
    let mut connectors: Vec<(&'static str, Connector)> = vec![
        ("celery", Box::new(move || Ok(Box::new(celery::Celery::open(celery, requests)?)))),
        ("rabbit", Box::new(move || Ok(Box::new(rabbit::Rabbit::open(rabbit, requests)?)))),
        ("postgres", Box::new(move || Ok(Box::new(postgres::Postgres::open(postgres, requests)?)))),
    ];
    for address in [redis, redis2] {
        let commands = redis::Commands::for_server(requests);
        connectors.push((
            "redis",
            Box::new(move || Ok(Box::new(redis::Redis::open(address, 0, commands)?))),
        ));
    }
    for (address, database) in caches.into_iter().zip(1..) {
        let commands = redis::Commands::Canary;
        let open = move || redis::Redis::open(address, database, commands);
        connectors.push(("cache", Box::new(move || Ok(Box::new(open()?)))));
    }
    connectors
}
