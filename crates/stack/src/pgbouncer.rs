//! `PgBouncer` in front of a PostgreSQL: private servers.

use std::path::Path;

use tempfile::TempDir;

use crate::error::Result;
use crate::install::Dependency;
use crate::postgres::{ACCOUNT, chown_to_account};
use crate::program::{Program, listening};
use crate::server::{Server, private_folder};
use crate::{HEALTH_PASSWORD, HEALTH_USER, port};

pub(crate) const DEPENDENCY: Dependency =
    Dependency::Debian { package: "pgbouncer", file: "/usr/sbin/pgbouncer" };

/// A private `PgBouncer` for all databases of one server.
pub struct PgBouncer {
    /// The process.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts a pooler of the server on the port `upstream`, with further lines of `[pgbouncer]`.
    pub fn start(upstream: u16, settings: &[&str]) -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("pgbouncer")?;
        let home = folder.path().join("data");
        let server = Server::start(prepare(&home, port, upstream, settings)?)?;
        Ok(Self { server, port, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn prepare(home: &Path, port: u16, upstream: u16, settings: &[&str]) -> Result<Program> {
    crate::paths::recreate(home)?;
    chown_to_account(home)?;
    let users = home.join("users.txt");
    let config = home.join("pgbouncer.ini");
    let text = format!(
        "[databases]\n\
         * = host=127.0.0.1 port={upstream}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = {}\n\
         {}\n",
        users.display(),
        settings.join("\n"),
    );
    for (path, text) in
        [(&users, format!("\"{HEALTH_USER}\" \"{HEALTH_PASSWORD}\"\n")), (&config, text)]
    {
        crate::paths::write_secret(path, &text)?;
        chown_to_account(path)?;
    }
    Ok(Program::new("pgbouncer", "/usr/sbin/pgbouncer", home)
        .user(ACCOUNT)
        .args([&config])
        .ready(move || listening(port)))
}
