//! Checks that PostgreSQL answers a query and has the role that the application needs.
//!
//! | setting | meaning |
//! | --- | --- |
//! | `url` | as in the application: `postgres://user:password@host:5432/database?sslmode=verify-full`. Several hosts are tried in order |
//! | `role` | `primary` (default): accepts writes; `replica`: is in recovery; `any` |
//! | `connection` | `kept` (default): one connection for all runs; `fresh`: a new one for each run, see [`ConnectionMode`] |
//! | `write` | what is written for `primary` to prove that transactions are committed: `table` (default), `message` or `off` |
//! | `write_every` | how long that result is trusted |
//! | `table` | a table that the user must be able to insert into, none by default |
//! | `max_lag` | how far a `replica` may be behind its primary, off by default |
//! | `reconnect` | how long a kept connection is trusted before a new one replaces it, `30s` by default |
//! | `ca`, `certificate`, `private_key` | PEM texts: the trusted authorities and the client certificate |
//! | `min_certificate_validity` | how long the server's certificate must be valid at least |
//!
//! The check needs the privileges `CONNECT` and `TEMPORARY`, and `INSERT` on the table, and runs simple queries, which every connection pooler supports.

mod cancel;
mod channel_binding;
mod commit;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod lag;
mod parameters;
mod passfile;
mod product;
mod role;
mod server;
mod session;
mod session_attrs;
mod sslmode;
mod stream;
mod table;
mod url;

use std::sync::Arc;

use net::TlsSettings;
use probe::{
    CachedConnection, Check, Cleanups, DynChecks, Failure, Grant, Kind, LoginBackoff, Reconnect,
    Section, Steps,
};

use crate::commit::{CommitProof, Write, Writes};
use crate::lag::MaxLag;
use crate::passfile::Passfile;
use crate::role::Role;
use crate::server::Server;
use crate::session::Session;
use crate::table::Table;

pub use crate::parameters::PARAMETERS;

/// The row for the gateway's table of probes.
pub const KIND: Kind = Kind { name: "postgres", build };

/// The setting `connection`: which connection a run uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionMode {
    /// A cached connection. A run takes one round trip, and until the connection is replaced, it succeeds even if the server accepts no more connections.
    Reused,
    /// A new connection for each run. This detects a server that has no connections left, at the cost of a process and a login on the server.
    Fresh,
}

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let params = url::read(&mut fields);
    let schema = params.as_ref().and_then(|params| params.schema);
    let role = fields.one_of("role", &role::VALUES);
    let writes = Writes::read(&mut fields, role);
    let table = Table::read(&mut fields, role, schema);
    let max_lag = MaxLag::read(&mut fields, role);
    let connection = fields.one_of(
        "connection",
        &[("kept", ConnectionMode::Reused), ("fresh", ConnectionMode::Fresh)],
    );
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
        let passfile = server.passfile().map(|passfile| (passfile.clone(), logins.clone()));
        let reconnect = reconnect?;
        let key = server.key(reconnect, writes, table.as_ref());
        let cached =
            shared.get_or_insert(&key, || CachedConnection::with_logins(server, reconnect, logins));
        let commit = writes.map(|writes| {
            shared.get_or_insert(&key, || CommitProof::new(writes, shared.cleanups().clone()))
        });
        Some(Postgres {
            target,
            cached,
            role: role?,
            connection: connection?,
            passfile,
            commit,
            max_lag,
            table,
            cleanups: shared.cleanups().clone(),
        })
    })
}

struct Postgres {
    target: String,
    cached: Arc<CachedConnection<Server>>,
    role: Role,
    connection: ConnectionMode,
    passfile: Option<(Passfile, Arc<LoginBackoff>)>,
    commit: Option<Arc<CommitProof>>,
    max_lag: Option<MaxLag>,
    table: Option<Table>,
    cleanups: Cleanups,
}

impl Check for Postgres {
    fn target(&self) -> &str {
        &self.target
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let examine = |session: Arc<Session>| async move {
            self.role.verify(session.query_state(steps).await?)?;
            if let Some(max_lag) = &self.max_lag {
                max_lag.verify(&session, steps).await?;
            }
            if let Some(table) = &self.table {
                table.verify(&self.cached, session.clone(), &self.cleanups, steps).await?;
            }
            match &self.commit {
                Some(commit) => commit.prove(&self.cached, session, steps).await,
                None => Ok(()),
            }
        };
        if let Some((passfile, logins)) = &self.passfile
            && let Ok(passwords) = passfile.read().await
        {
            logins.use_credentials(&passwords);
        }
        match self.connection {
            ConnectionMode::Reused => self.cached.run(steps, examine).await,
            ConnectionMode::Fresh => self.cached.run_fresh(steps, examine).await,
        }
    }

    fn leaves_traces(&self) -> bool {
        self.commit.is_some()
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        let writes_table =
            self.commit.as_ref().is_some_and(|commit| commit.write() == Write::Table);
        let config = self.cached.connector().config();
        Ok(grants::needed(&self.target, config, writes_table, self.table.as_ref()))
    }
}
