//! One server: its places, how it is started, and its own tools.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{ADMIN_PASSWORD, ADMIN_USER, Counts};
use crate::error::{Context, Error, Result};
use crate::program::Program;
use crate::{HEALTH_PASSWORD, HEALTH_USER, RABBIT, RABBIT_VHOST, permissions, place};

/// The programs themselves: Debian's wrappers in the path want to be root or `rabbitmq`.
const BIN: &str = "/usr/lib/rabbitmq/bin";
/// The node's name, which need not be unique: nodes are told apart by their ports.
const NODE: &str = "rabbit@localhost";
/// What the server says last when it starts.
const STARTED: &str = "Server startup complete";

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) home: PathBuf,
    pub(super) port: u16,
    /// Where the server listens for its own tools.
    pub(super) tools_port: u16,
}

impl Node {
    /// Makes a new folder for the server and tells how to start it there.
    pub(super) fn prepare(&self, settings: &[&str]) -> Result<Program> {
        place::fresh(&self.home)?;
        let definitions = self.home.join("definitions.json");
        place::write_secret(&definitions, &definitions_json()?)?;
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
        let mut program =
            Program::new("rabbit", Path::new(BIN).join("rabbitmq-server"), &self.home);
        let log = program.log().to_owned();
        for (name, value) in self.environment() {
            program = program.env(name, value);
        }
        Ok(program.ready(move || ready(&log)))
    }

    /// What `rabbitmqctl` prints.
    pub(super) fn ctl(&self, words: &[&str]) -> Result<String> {
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

    /// What is open or there.
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
pub(crate) fn definitions_json() -> Result<String> {
    let granted = permissions::of("RabbitMQ", &RABBIT, HEALTH_USER)?;
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
            permission(HEALTH_USER, RABBIT_VHOST, health_permissions(&granted)?),
        ],
    });
    Ok(definitions.to_string())
}

/// The three patterns of the command that is printed for the gateway's user, who is there before any command could be given.
fn health_permissions(command: &str) -> Result<[&str; 3]> {
    let begin = format!("rabbitmqctl set_permissions -p {RABBIT_VHOST} {HEALTH_USER} ");
    let words: Vec<_> = command.trim_end().split('\'').collect();
    match words.as_slice() {
        [first, configure, " ", write, " ", read, ""] if *first == begin => {
            Ok([configure, write, read])
        }
        _ => Err(Error::new(format!("permissions.txt: expected `{begin}'' '' ''`: {command}"))),
    }
}

/// Everything listens and takes orders when the server says so, and not when its first port accepts.
fn ready(log: &Path) -> std::result::Result<(), String> {
    let text = fs::read_to_string(log).map_err(|error| format!("read its log: {error}"))?;
    if text.contains(STARTED) { Ok(()) } else { Err(format!("its log does not say `{STARTED}`")) }
}
