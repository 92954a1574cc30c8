//! `RabbitMQ`: in the shared stack, and as a test's private server.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::install::Need;
use crate::process::POLL;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST, place, port};

/// The user of the application and of the tests, who may do everything.
pub const ADMIN_USER: &str = "admin";
/// The password of [`ADMIN_USER`].
pub const ADMIN_PASSWORD: &str = "admin-of-a-throw-away-stack";

/// What the probes of `RabbitMQ` and Celery need to configure, write and read, and nothing more.
pub const HEALTH_PERMISSIONS: [&str; 3] = [
    r"^(health-gateway\..*|reply\.celery\.pidbox)$",
    r"^(health-gateway\..*|amq\.default|celery\.pidbox)$",
    r"^(health-gateway\..*|reply\.celery\.pidbox)$",
];

/// The programs themselves: Debian's wrappers in the path want to be root or `rabbitmq`.
const BIN: &str = "/usr/lib/rabbitmq/bin";
/// The node's name, which need not be unique: nodes are told apart by their ports.
const NODE: &str = "rabbit@localhost";
/// Longer than a change ever took to show on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const SERVICE: Service = Service {
    name: "rabbit",
    port: Some(crate::RABBIT.port()),
    needs: &[Need::Debian {
        package: "rabbitmq-server",
        file: "/usr/lib/rabbitmq/bin/rabbitmq-server",
    }],
    prepare: |_, home| prepare(&shared_node(home), &[]),
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

/// A server's places.
#[derive(Clone, Debug)]
struct Node {
    home: PathBuf,
    port: u16,
    /// Where the server listens for its own tools.
    tools_port: u16,
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
        let server = Server::start(prepare(&node, settings)?)?;
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

impl Node {
    /// What the server and its tools have in common.
    ///
    /// Erlang starts a port mapper unless it is told not to, one that outlives the server; without one, the tools find the server by its fixed port.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let file = |name: &str| self.home.join(name).into_os_string();
        let port = self.tools_port;
        vec![
            ("RABBITMQ_NODENAME", NODE.into()),
            // Its script becomes the server then, in place of watching over it.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
            ("RABBITMQ_MNESIA_BASE", file("mnesia")),
            ("RABBITMQ_LOG_BASE", file("log")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
            // These do not exist, and keep those of the machine away.
            ("RABBITMQ_CONFIG_FILES", file("conf.d")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config")),
            ("RABBITMQ_CONF_ENV_FILE", file("rabbitmq-env.conf")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", server_args(port).into()),
            ("RABBITMQ_CTL_ERL_ARGS", format!("-erl_epmd_port {port} -dist_listen false").into()),
            // Reaches the helpers that the server starts, too: every minute, one of them would start a port mapper.
            ("ERL_FLAGS", "-start_epmd false".into()),
            // Where nobody listens: who asks for a port mapper all the same learns at once that there is none.
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", "1".into()),
            ("ERL_CRASH_DUMP_SECONDS", "0".into()),
        ]
    }

    fn ctl(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(Path::new(BIN).join("rabbitmqctl"))
            .args(["--quiet", "--node", NODE])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &self.home)
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment())
            .output()
            .context(|| "run rabbitmqctl".to_owned())?;
        let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(Error::new(format!("rabbitmqctl {}: {printed} {}", words.join(" "), errors.trim_end())))
    }

    fn counts(&self) -> Result<Counts> {
        let printed = self.ctl(&[
            "eval",
            "{length(rabbit_networking:connections()), length(rabbit_channel:list()), length(rabbit_amqqueue:list())}.",
        ])?;
        let mut numbers =
            printed.trim_matches(['{', '}']).split(',').map(|word| word.trim().parse());
        match [numbers.next(), numbers.next(), numbers.next()] {
            [Some(Ok(connections)), Some(Ok(channels)), Some(Ok(queues))] => {
                Ok(Counts { connections, channels, queues })
            }
            _ => Err(Error::new(format!("rabbitmqctl eval: {printed}"))),
        }
    }
}

fn shared_node(home: &Path) -> Node {
    let port = crate::RABBIT.port();
    Node { home: home.to_owned(), port, tools_port: port + 1 }
}

fn prepare(node: &Node, settings: &[&str]) -> Result<Program> {
    place::fresh(&node.home)?;
    let definitions = node.home.join("definitions.json");
    place::write_secret(&definitions, &definitions_json())?;
    let conf = node.home.join("rabbitmq.conf");
    let text = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\n\
         load_definitions = {}\n\
         disk_free_limit.absolute = 1MB\n\
         log.console = true\n\
         log.console.level = warning\n\
         {}\n",
        node.port,
        definitions.display(),
        settings.join("\n")
    );
    fs::write(&conf, text).context(|| format!("write {}", conf.display()))?;
    let port = node.port;
    let mut program = Program::new("rabbit", Path::new(BIN).join("rabbitmq-server"), &node.home);
    for (name, value) in node.environment() {
        program = program.env(name, value);
    }
    Ok(program.ready(move || ready(port)))
}

/// Named here, the node needs no port mapper to choose its name.
///
/// By Debian's settings, an idle thread of Erlang sleeps at once, and the thousand modules are read in a thousand naps: 9 s. Threads that wait a moment first start the server in 3 s, at less work for the processor.
fn server_args(port: u16) -> String {
    format!(
        "-sname {NODE} -erl_epmd_port {port} -kernel inet_dist_use_interface {{127,0,0,1}} \
         +sbwt very_short +sbwtdio very_short"
    )
}

/// The users and the virtual hosts, which are there before the server listens.
fn definitions_json() -> String {
    let permission = |user: &str, host: &str, [configure, write, read]: [&str; 3]| json!({"user": user, "vhost": host, "configure": configure, "write": write, "read": read});
    json!({
        "users": [
            {"name": ADMIN_USER, "password": ADMIN_PASSWORD, "tags": "administrator"},
            {"name": HEALTH_USER, "password": HEALTH_PASSWORD, "tags": ""},
        ],
        "vhosts": [{"name": "/"}, {"name": RABBIT_VHOST}],
        "permissions": [
            permission(ADMIN_USER, "/", [".*"; 3]),
            permission(ADMIN_USER, RABBIT_VHOST, [".*"; 3]),
            permission(HEALTH_USER, RABBIT_VHOST, HEALTH_PERMISSIONS),
        ],
    })
    .to_string()
}

/// It serves when it answers the protocol's greeting with its first method.
fn ready(port: u16) -> std::result::Result<(), String> {
    let mut kind = [0];
    let mut greet = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"AMQP\0\0\x09\x01")?;
        stream.read_exact(&mut kind)
    };
    greet().map_err(|error: std::io::Error| format!("greet port {port}: {error}"))?;
    if kind == [1] { Ok(()) } else { Err(format!("port {port} does not speak AMQP")) }
}
