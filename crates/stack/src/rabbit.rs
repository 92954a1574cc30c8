//! `RabbitMQ`: shared and private servers.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use rustix::process::Signal;
use tempfile::TempDir;

use self::node::{LOCALHOST, Node};
use crate::error::{Error, Result};
use crate::http::request;
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
        let (home, host) = (home.to_owned(), LOCALHOST.to_owned());
        Node { home, port, distribution_port: port + 1, host }.prepare(&[])
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

/// The API of a server's management plugin.
#[derive(Clone, Copy, Debug)]
pub struct Management {
    /// Its address.
    pub address: SocketAddr,
}

impl Management {
    /// A free address, and the settings of a server with this API.
    fn prepare() -> Result<(Self, [String; 3])> {
        let port = port::free_port()?;
        let settings = [
            "management.tcp.ip = 127.0.0.1".to_owned(),
            format!("management.tcp.port = {port}"),
            // In milliseconds. The default is ten times as long.
            "collect_statistics_interval = 500".to_owned(),
        ];
        Ok((Self { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }, settings))
    }

    /// Sends a request of the administrator with a JSON body to a path below `/api`.
    pub fn call(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let user = BASE64.encode(format!("{ADMIN_USER}:{ADMIN_PASSWORD}").as_bytes());
        let authorization = format!("Authorization: Basic {user}");
        let headers = [authorization.as_str(), "Content-Type: application/json"];
        let response = request(self.address, method, &format!("/api{path}"), &headers, body)?;
        if response.status >= 300 {
            return Err(Error::new(format!(
                "{method} {path}: {} {}",
                response.status, response.body
            )));
        }
        Ok(response.body)
    }
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
        Self::start_with_plugins(&[], settings)
    }

    fn start_with_plugins(plugins: &[&str], settings: &[&str]) -> Result<Self> {
        Self::start_node(LOCALHOST.to_owned(), port::free_port()?, plugins, settings)
    }

    fn start_node(
        host: String,
        distribution_port: u16,
        plugins: &[&str],
        settings: &[&str],
    ) -> Result<Self> {
        let folder = private_folder("rabbit")?;
        let home = folder.path().join("data");
        let node = Node { home, port: port::free_port()?, distribution_port, host };
        let program = node.prepare(settings)?;
        node.enable(plugins)?;
        let server = Server::start(program)?;
        Ok(Self { server, node, _folder: folder })
    }

    /// Starts a server with the management plugin.
    pub fn start_with_management() -> Result<(Self, Management)> {
        let (management, settings) = Management::prepare()?;
        let settings = settings.each_ref().map(String::as_str);
        Ok((Self::start_with_plugins(&["rabbitmq_management"], &settings)?, management))
    }

    /// Starts a cluster of three servers, the first of them with the management plugin.
    pub fn start_cluster() -> Result<([Self; 3], Management)> {
        let (management, settings) = Management::prepare()?;
        let settings = settings.each_ref().map(String::as_str);
        let port = port::free_port()?;
        let start = |number: u8, plugins: &[&str], settings: &[&str]| {
            Self::start_node(format!("127.0.0.{number}"), port, plugins, settings)
        };
        let first = start(2, &["rabbitmq_management"], &settings)?;
        let others = [start(3, &[], &[])?, start(4, &[], &[])?];
        for other in &others {
            other.ctl(&["stop_app"])?;
            other.ctl(&["join_cluster", &first.node.name()])?;
            other.ctl(&["start_app"])?;
        }
        let [second, third] = others;
        Ok(([first, second, third], management))
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
