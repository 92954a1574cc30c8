//! Pgpool in front of a PostgreSQL: private servers.

use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::Result;
use crate::install::Dependency;
use crate::postgres::{ACCOUNT, chown_to_account};
use crate::program::{Program, listening};
use crate::server::{Server, private_folder};
use crate::{HEALTH_PASSWORD, HEALTH_USER, port};

pub(crate) const DEPENDENCY: Dependency =
    Dependency::Debian { package: "pgpool2", file: "/usr/sbin/pgpool" };

/// The signal for an immediate shutdown. Pgpool replaces children that exit, so only its main process knows all of them.
const STOP: Signal = Signal::QUIT;

/// A private Pgpool for one server.
pub struct Pgpool {
    /// The process.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl Pgpool {
    /// Starts a proxy of the server on the port `upstream`.
    pub fn start(upstream: u16) -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("pgpool")?;
        let home = folder.path().join("data");
        let server = Server::start(prepare(&home, port, upstream)?)?;
        Ok(Self { server, port, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn prepare(home: &Path, port: u16, upstream: u16) -> Result<Program> {
    crate::paths::recreate(home)?;
    chown_to_account(home)?;
    let folder = home.display();
    // Without a replica, there is no primary to look for. Pgpool also listens on a Unix socket.
    let config = format!(
        "backend_clustering_mode = 'raw'\n\
         backend_hostname0 = '127.0.0.1'\n\
         backend_port0 = {upstream}\n\
         listen_addresses = '127.0.0.1'\n\
         port = {port}\n\
         pcp_listen_addresses = ''\n\
         unix_socket_directories = '{folder}'\n\
         pcp_socket_dir = '{folder}'\n\
         pid_file_name = '{folder}/pgpool.pid'\n\
         logdir = '{folder}'\n\
         work_dir = '{folder}'\n\
         enable_pool_hba = on\n\
         pool_passwd = 'passwords'\n\
         num_init_children = 4\n"
    );
    let files = [
        ("passwords", format!("{HEALTH_USER}:TEXT{HEALTH_PASSWORD}\n")),
        ("hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n".to_owned()),
        ("pcp.conf", String::new()),
        ("pgpool.conf", config),
    ];
    for (name, text) in files {
        let path = home.join(name);
        crate::paths::write_secret(&path, &text)?;
        chown_to_account(&path)?;
    }
    Ok(Program::new("pgpool", "/usr/sbin/pgpool", home)
        .user(ACCOUNT)
        .args(["-n", "-f"])
        .args([home.join("pgpool.conf")])
        .args(["-a"])
        .args([home.join("hba.conf")])
        .args(["-F"])
        .args([home.join("pcp.conf")])
        .ready(move || listening(port))
        .stop(STOP))
}
