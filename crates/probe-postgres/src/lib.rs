//! Asks PostgreSQL whether it answers a query in the role that the application needs.
//!
//! | setting | meaning |
//! | --- | --- |
//! | `url` | as the application's own: `postgres://user:password@host:5432/database?sslmode=verify-full`; several hosts are tried in their order |
//! | `role` | `primary` (default): takes writes; `replica`: is in recovery; `any` |
//! | `connection` | `kept` (default): one connection for all runs; `fresh`: a new one for each run, see [`Connection`] |
//! | `ca`, `certificate`, `private_key` | PEM texts: whom to trust, and as whom to appear |
//!
//! It needs no privilege but `CONNECT`, and runs one simple query, which every connection pooler passes on.

mod connect;
mod error;
mod grants;
mod role;
mod session;
mod socket;
mod sslmode;
mod stream;
mod url;

use std::sync::Arc;

use probe::{CachedConnection, Check, DynChecks, Failure, Grant, Kind, Section, Steps};
use tls::Settings;

use crate::connect::Server;
use crate::role::Role;

/// The row for the gateway's table of probes.
pub const KIND: Kind = Kind { name: "postgres", build };

/// On which connection a run asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The one that is kept: a run costs one round trip, and goes on when the server accepts no further connections.
    Reused,
    /// A new one for each run, closed afterwards: it sees that the server is out of connections, and costs the server a process and a login each time.
    Fresh,
}

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let address = url::read(&mut fields);
    let role = fields.one_of("role", &role::WORDS);
    let connection =
        fields.one_of("connection", &[("kept", Connection::Reused), ("fresh", Connection::Fresh)]);
    let tls = Settings::read(&mut fields);
    let server = match (address, tls) {
        (Some(address), Some(tls)) => Server::new(address, tls, &mut fields),
        _ => None,
    };
    fields.single(|| {
        let server = server?;
        let target = server.target();
        let kept = section.shared().get_or_insert(&server.key(), || CachedConnection::new(server));
        Some(Postgres { target, kept, role: role?, connection: connection? })
    })
}

struct Postgres {
    target: String,
    kept: Arc<CachedConnection<Server>>,
    role: Role,
    connection: Connection,
}

impl Check for Postgres {
    fn target(&self) -> &str {
        &self.target
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let ask = |session: Arc<session::Session>| async move {
            self.role.judge(session.ask(steps).await?)
        };
        match self.connection {
            Connection::Reused => self.kept.run(steps, ask).await,
            Connection::Fresh => self.kept.run_fresh(steps, ask).await,
        }
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(vec![grants::to_connect(&self.target, self.kept.connector().config())])
    }
}
