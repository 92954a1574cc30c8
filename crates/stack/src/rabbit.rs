//! `RabbitMQ`: in the shared stack, and as a test's private server.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use self::node::Node;
use crate::error::{Error, Result};
use crate::install::Need;
use crate::process::POLL;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{RABBIT_VHOST, port};

mod node;

#[cfg(test)]
pub(crate) use node::definitions_json;

/// The user of the application and of the tests, who may do everything.
pub const ADMIN_USER: &str = "admin";
/// The password of [`ADMIN_USER`].
pub const ADMIN_PASSWORD: &str = "admin-of-a-throw-away-stack";

/// Longer than a change ever took to show on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const SERVICE: Service = Service {
    name: "rabbit",
    port: Some(crate::RABBIT.port()),
    needs: &[Need::Debian {
        package: "rabbitmq-server",
        file: "/usr/lib/rabbitmq/bin/rabbitmq-server",
    }],
    prepare: |_, home| {
        let port = crate::RABBIT.port();
        Node { home: home.to_owned(), port, tools_port: port + 1 }.prepare(&[])
    },
    seed: |_| Ok(()),
    stop: Signal::KILL,
};

/// A private `RabbitMQ` with the users and the virtual host of the shared one.
pub struct Rabbit {
    /// The process, to be paused, stopped and restarted.
    pub server: Server,
    node: Node,
    _folder: TempDir,
}

/// What is open or there on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Connections of clients.
    pub connections: usize,
    /// Channels on them.
    pub channels: usize,
    /// Queues of all virtual hosts.
    pub queues: usize,
}

impl Rabbit {
    /// Starts one with these further lines of `rabbitmq.conf`.
    pub fn start(settings: &[&str]) -> Result<Self> {
        let folder = private_folder("rabbit")?;
        let node = Node {
            home: folder.path().join("data"),
            port: port::free_port()?,
            tools_port: port::free_port()?,
        };
        let server = Server::start(node.prepare(settings)?)?;
        Ok(Self { server, node, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// What `rabbitmqctl` prints.
    pub fn ctl(&self, words: &[&str]) -> Result<String> {
        self.node.ctl(words)
    }

    /// Waits until so much is open or there.
    pub fn wait_for(&self, wanted: Counts) -> Result<()> {
        self.wait_until(|counts| *counts == wanted)
    }

    /// Waits until what is open or there is as wanted.
    pub fn wait_until(&self, wanted: impl Fn(&Counts) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = self.counts()?;
            if wanted(&counts) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::new(format!("rabbit: there are still {counts:?}")));
            }
            thread::sleep(POLL);
        }
    }

    /// What is open or there.
    pub fn counts(&self) -> Result<Counts> {
        self.node.counts()
    }

    /// A URL for a user of this server, with the virtual host of the application.
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/{RABBIT_VHOST}", self.port())
    }

    /// The URL for the administrator, as workers use it.
    pub fn admin_url(&self) -> String {
        self.url(ADMIN_USER, ADMIN_PASSWORD)
    }
}

/// The shared server's address, once `cargo xtask up` has started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}
