//! `RabbitMQ`: shared and private servers.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use self::node::Node;
use crate::error::{Error, Result};
use crate::install::Dependency;
use crate::process::POLL_INTERVAL;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{RABBIT_VHOST, port};

mod node;

#[cfg(test)]
pub(crate) use node::definitions_json;

/// The administrator, used by the application and the tests.
pub const ADMIN_USER: &str = "admin";
/// The password of [`ADMIN_USER`].
pub const ADMIN_PASSWORD: &str = "admin-of-a-throw-away-stack";

/// Longer than the counts have taken to change on a busy machine.
const COUNTS_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) const SERVICE: Service = Service {
    name: "rabbit",
    port: Some(crate::RABBIT.port()),
    dependencies: &[Dependency::Debian {
        package: "rabbitmq-server",
        file: "/usr/lib/rabbitmq/bin/rabbitmq-server",
    }],
    prepare: |_, home| {
        let port = crate::RABBIT.port();
        Node { home: home.to_owned(), port, distribution_port: port + 1 }.prepare(&[])
    },
    seed: |_| Ok(()),
    stop: Signal::KILL,
};

/// A private `RabbitMQ` with the users and the virtual hosts of the shared server.
pub struct Rabbit {
    /// The server's process.
    pub server: Server,
    node: Node,
    _folder: TempDir,
}

/// The numbers of objects on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Client connections.
    pub connections: usize,
    /// Channels.
    pub channels: usize,
    /// Queues in all virtual hosts.
    pub queues: usize,
}

impl Rabbit {
    /// Starts a server with further lines of `rabbitmq.conf`.
    pub fn start(settings: &[&str]) -> Result<Self> {
        let folder = private_folder("rabbit")?;
        let node = Node {
            home: folder.path().join("data"),
            port: port::free_port()?,
            distribution_port: port::free_port()?,
        };
        let server = Server::start(node.prepare(settings)?)?;
        Ok(Self { server, node, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// Runs `rabbitmqctl`, and returns its output.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        self.node.ctl(args)
    }

    /// Waits until the counts are these.
    pub fn wait_for(&self, wanted: Counts) -> Result<()> {
        self.wait_until(|counts| *counts == wanted)
    }

    /// Waits until the counts satisfy a condition.
    pub fn wait_until(&self, wanted: impl Fn(&Counts) -> bool) -> Result<()> {
        let deadline = Instant::now() + COUNTS_TIMEOUT;
        loop {
            let counts = self.counts()?;
            if wanted(&counts) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!("rabbit: timed out with {counts:?}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Returns the current counts.
    pub fn counts(&self) -> Result<Counts> {
        self.node.counts()
    }

    /// Returns the URL of the application's virtual host for a user.
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/{RABBIT_VHOST}", self.port())
    }

    /// Returns the URL of the application's virtual host for the administrator.
    pub fn admin_url(&self) -> String {
        self.url(ADMIN_USER, ADMIN_PASSWORD)
    }
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}
