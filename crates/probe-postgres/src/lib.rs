//! Checks that PostgreSQL answers a query and has the role that the application needs.
//!
//! | setting | meaning |
//! | --- | --- |
//! | `url` | as in the application: `postgres://user:password@host:5432/database?sslmode=verify-full`. Several hosts are tried in order |
//! | `role` | `primary` (default): accepts writes; `replica`: is in recovery; `any` |
//! | `connection` | `kept` (default): one connection for all runs; `fresh`: a new one for each run, see [`Connection`] |
//! | `reconnect` | how long a kept connection is trusted before a new one replaces it, `30s` by default |
//! | `ca`, `certificate`, `private_key` | PEM texts: the trusted authorities and the client certificate |
//!
//! The check needs only the privilege `CONNECT`, and runs one simple query, which every connection pooler supports.

mod endpoint;
mod error;
mod grants;
mod role;
mod server;
mod session;
mod sslmode;
mod stream;
mod url;

use std::sync::Arc;

use net::TlsSettings;
use probe::{
    CachedConnection, Check, DynChecks, Failure, Grant, Kind, LoginBackoff, Reconnect, Section,
    Steps,
};

use crate::role::Role;
use crate::server::Server;

/// The row for the gateway's table of probes.
pub const KIND: Kind = Kind { name: "postgres", build };

/// The connection that a run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// A cached connection. A run takes one round trip, and succeeds even if the server accepts no more connections.
    Reused,
    /// A new connection for each run. This detects a server that has no connections left, at the cost of a process and a login on the server.
    Fresh,
}

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let params = url::read(&mut fields);
    let role = fields.one_of("role", &role::VALUES);
    let connection =
        fields.one_of("connection", &[("kept", Connection::Reused), ("fresh", Connection::Fresh)]);
    let reconnect = Reconnect::read(&mut fields);
    let tls = TlsSettings::read(&mut fields);
    let server = match (params, tls) {
        (Some(params), Some(tls)) => Server::new(params, tls, &mut fields),
        _ => None,
    };
    fields.single(|| {
        let server = server?;
        let target = server.target();
        let shared = section.shared();
        let logins = shared.get_or_insert(&server.login_key(), LoginBackoff::default);
        let reconnect = reconnect?;
        let cached = shared.get_or_insert(&server.key(reconnect), || {
            CachedConnection::with_logins(server, reconnect, logins)
        });
        Some(Postgres { target, cached, role: role?, connection: connection? })
    })
}

struct Postgres {
    target: String,
    cached: Arc<CachedConnection<Server>>,
    role: Role,
    connection: Connection,
}

impl Check for Postgres {
    fn target(&self) -> &str {
        &self.target
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let verify_role = |session: Arc<session::Session>| async move {
            self.role.verify(session.query_state(steps).await?)
        };
        match self.connection {
            Connection::Reused => self.cached.run(steps, verify_role).await,
            Connection::Fresh => self.cached.run_fresh(steps, verify_role).await,
        }
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(vec![grants::connect(&self.target, self.cached.connector().config())])
    }
}
