//! One `RabbitMQ` node: its files, its environment and `rabbitmqctl`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{ADMIN_PASSWORD, ADMIN_USER, Counts};
use crate::error::{Context, Error, Result};
use crate::program::Program;
use crate::{HEALTH_PASSWORD, HEALTH_USER, RABBIT, RABBIT_VHOST, paths, permissions};

/// The folder of the programs, because Debian's wrappers in `PATH` only run as root or `rabbitmq`.
const BIN: &str = "/usr/lib/rabbitmq/bin";
/// The host of a node that is alone. Its name need not be unique, because such nodes have distinct distribution ports.
pub(super) const LOCALHOST: &str = "localhost";
/// The last line that the server logs when it starts.
const STARTUP_COMPLETE: &str = "Server startup complete";

/// A node's folder and ports.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) home: PathBuf,
    pub(super) port: u16,
    /// The port of Erlang's distribution protocol, which `rabbitmqctl` connects to. The nodes of a cluster have the same one.
    pub(super) distribution_port: u16,
    /// The host in the node's name: [`LOCALHOST`], or an address of its own for each node of a cluster.
    pub(super) host: String,
}

impl Node {
    pub(super) fn name(&self) -> String {
        format!("rabbit@{}", self.host)
    }

    fn has_address(&self) -> bool {
        self.host != LOCALHOST
    }

    /// Creates the node's folder, and returns the program that runs it.
    pub(super) fn prepare(&self, settings: &[&str]) -> Result<Program> {
        paths::recreate(&self.home)?;
        let definitions = self.home.join("definitions.json");
        paths::write_secret(&definitions, &definitions_json()?)?;
        let conf = self.home.join("rabbitmq.conf");
        let text = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             load_definitions = {}\n\
             disk_free_limit.absolute = 1MB\n\
             log.console = true\n\
             log.console.level = info\n\
             {}\n",
            self.port,
            definitions.display(),
            settings.join("\n")
        );
        fs::write(&conf, text).context(|| format!("write {}", conf.display()))?;
        if self.has_address() {
            // The nodes of a cluster share it.
            paths::write_secret(&self.home.join(".erlang.cookie"), ADMIN_PASSWORD)?;
        }
        let mut program =
            Program::new("rabbit", Path::new(BIN).join("rabbitmq-server"), &self.home);
        let log = program.log().to_owned();
        for (name, value) in self.environment() {
            program = program.env(name, value);
        }
        Ok(program.ready(move || ready(&log)))
    }

    /// Enables plugins, before the first start and after [`Node::prepare`].
    pub(super) fn enable(&self, plugins: &[&str]) -> Result<()> {
        let file = self.home.join("plugins");
        let text = format!("[{}].\n", plugins.join(", "));
        fs::write(&file, text).context(|| format!("write {}", file.display()))
    }

    /// Runs `rabbitmqctl`, and returns its output.
    pub(super) fn ctl(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(Path::new(BIN).join("rabbitmqctl"))
            .args(["--quiet", "--node", &self.name()])
            .args(self.has_address().then_some("--longnames"))
            .args(args)
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
        Err(Error::new(format!("rabbitmqctl {}: {printed} {}", args.join(" "), errors.trim_end())))
    }

    /// Returns the current counts.
    pub(super) fn counts(&self) -> Result<Counts> {
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

    /// Returns the environment of the server and its tools.
    ///
    /// By default, Erlang starts a port mapper (epmd) that outlives the server. Without it, the tools use the fixed distribution port.
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let file = |name: &str| self.home.join(name).into_os_string();
        let port = self.distribution_port;
        vec![
            ("RABBITMQ_NODENAME", self.name().into()),
            ("RABBITMQ_USE_LONGNAME", self.has_address().to_string().into()),
            // With this, the script executes the server, and does not supervise it.
            ("RUNNING_UNDER_SYSTEMD", "true".into()),
            ("RABBITMQ_MNESIA_BASE", file("mnesia")),
            ("RABBITMQ_LOG_BASE", file("log")),
            ("RABBITMQ_LOGS", "-".into()),
            ("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins")),
            // These files do not exist, and replace those of the machine.
            ("RABBITMQ_CONFIG_FILES", file("conf.d")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", file("advanced.config")),
            ("RABBITMQ_CONF_ENV_FILE", file("rabbitmq-env.conf")),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", self.server_args().into()),
            ("RABBITMQ_CTL_ERL_ARGS", format!("-erl_epmd_port {port} -dist_listen false").into()),
            // This also applies to the server's helper processes, one of which would start epmd every minute.
            ("ERL_FLAGS", "-start_epmd false".into()),
            // A port without a listener, so that any lookup in epmd fails at once.
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("ERL_EPMD_PORT", "1".into()),
            ("ERL_CRASH_DUMP_SECONDS", "0".into()),
        ]
    }

    /// Returns the server's Erlang arguments. With its name set here, the node needs no epmd to choose one.
    ///
    /// With Debian's settings, Erlang's schedulers do not busy-wait, and it takes 9 s to load the thousand modules. A short busy wait starts the server in 3 s and uses less CPU time.
    fn server_args(&self) -> String {
        let (name, port) = (self.name(), self.distribution_port);
        let (kind, address) =
            if self.has_address() { ("name", self.host.as_str()) } else { ("sname", "127.0.0.1") };
        format!(
            "-{kind} {name} -erl_epmd_port {port} \
             -kernel inet_dist_use_interface {{{}}} +sbwt very_short +sbwtdio very_short",
            address.replace('.', ",")
        )
    }
}

/// Returns the definitions of users and virtual hosts, which are imported before the server listens.
pub(crate) fn definitions_json() -> Result<String> {
    let grants = permissions::statements("RabbitMQ", &RABBIT, HEALTH_USER)?;
    let permission = |user: &str, host: &str, [configure, write, read]: [&str; 3]| json!({"user": user, "vhost": host, "configure": configure, "write": write, "read": read});
    let definitions = json!({
        "users": [
            {"name": ADMIN_USER, "password": ADMIN_PASSWORD, "tags": "administrator"},
            {"name": HEALTH_USER, "password": HEALTH_PASSWORD, "tags": ""},
        ],
        "vhosts": [{"name": "/"}, {"name": RABBIT_VHOST}],
        "permissions": [
            permission(ADMIN_USER, "/", [".*"; 3]),
            permission(ADMIN_USER, RABBIT_VHOST, [".*"; 3]),
            permission(HEALTH_USER, RABBIT_VHOST, health_permissions(&grants)?),
        ],
    });
    Ok(definitions.to_string())
}

/// Extracts the three patterns of the printed command, because definitions contain permissions and not commands.
fn health_permissions(command: &str) -> Result<[&str; 3]> {
    let prefix = format!("rabbitmqctl set_permissions -p {RABBIT_VHOST} {HEALTH_USER} ");
    let words: Vec<_> = command.trim_end().split('\'').collect();
    match words.as_slice() {
        [first, configure, " ", write, " ", read, ""] if *first == prefix => {
            Ok([configure, write, read])
        }
        _ => Err(Error::new(format!("permissions.txt: expected `{prefix}'' '' ''`: {command}"))),
    }
}

/// Checks the log, because the first port accepts connections before the server and its tools are usable.
fn ready(log: &Path) -> std::result::Result<(), String> {
    let text = fs::read_to_string(log).map_err(|error| format!("read its log: {error}"))?;
    if text.contains(STARTUP_COMPLETE) {
        Ok(())
    } else {
        Err(format!("its log does not contain `{STARTUP_COMPLETE}`"))
    }
}
