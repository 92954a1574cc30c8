//! Redis: twice in the shared stack, and as a test's private server.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::install::Need;
use crate::process::POLL;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{HEALTH_PASSWORD, HEALTH_USER, permissions, port};

/// The user of the tests, who may do everything.
pub const ADMIN_USER: &str = "admin";
/// The password of [`ADMIN_USER`].
pub const ADMIN_PASSWORD: &str = "admin-of-a-throw-away-stack";

/// Longer than a replica or a cluster ever took to settle on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves `redis`.
pub(crate) const FIRST: Service = service("redis", crate::REDIS.port());
/// Serves `redis2` and the four caches.
pub(crate) const SECOND: Service = service("redis2", crate::REDIS2.port());

const fn service(name: &'static str, port: u16) -> Service {
    Service {
        name,
        port: Some(port),
        needs: &[Need::Debian { package: "redis-server", file: "/usr/bin/redis-server" }],
        prepare: |service, home| {
            prepare(service.name, home, service.port.unwrap_or_default(), &[&users()])
        },
        seed: |service| add_health_user(service.port.unwrap_or_default()),
        stop: Signal::KILL,
    }
}

/// A private Redis, without any password unless its settings say otherwise.
pub struct Redis {
    /// The process, to be paused, stopped and restarted.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    /// Starts one with these further lines of `redis.conf`.
    pub fn start(settings: &[&str]) -> Result<Self> {
        let server = |home: &Path, port| prepare("redis", home, port, settings);
        Self::private(server)
    }

    /// Starts a sentinel with these further lines of its configuration.
    pub fn start_sentinel(settings: &[&str]) -> Result<Self> {
        Self::private(|home, port| prepare_sentinel(home, port, settings))
    }

    /// What the server answers to a command, as `redis-cli` prints it; a refusal is an answer as well.
    pub fn ask(&self, words: &[&str]) -> Result<String> {
        cli(self.port, words)
    }

    /// Waits until the answer to `words` contains `wanted`.
    pub fn wait_for(&self, words: &[&str], wanted: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(words)?;
            if answer.contains(wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let words = words.join(" ");
                return Err(Error::new(format!("waited for `{wanted}` from `{words}`: {answer}")));
            }
            thread::sleep(POLL);
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

/// The first users of the shared stack as lines of `redis.conf`; nobody gets in without a password.
pub fn users() -> String {
    format!("user default off\nuser {ADMIN_USER} on >{ADMIN_PASSWORD} ~* &* +@all")
}

/// Gives the gateway's user what is printed for this server, in the same words, and then a password.
fn add_health_user(port: u16) -> Result<()> {
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let granted = permissions::of("Redis", &server, HEALTH_USER)?;
    let granted = granted.trim_end();
    let lines = format!(
        "AUTH {ADMIN_USER} {ADMIN_PASSWORD}\n\
         {granted}\n\
         ACL SETUSER {HEALTH_USER} on >{HEALTH_PASSWORD}\nQUIT\n"
    );
    let mut answers = String::new();
    let mut tell = || {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(lines.replace('\n', "\r\n").as_bytes())?;
        stream.read_to_string(&mut answers)
    };
    tell().context(|| format!("redis: tell {server} about its users"))?;
    match answers.lines().find(|line| *line != "+OK") {
        None => Ok(()),
        Some(refused) => Err(Error::new(format!("redis: {granted}: {refused}"))),
    }
}

fn prepare(name: &str, home: &Path, port: u16, settings: &[&str]) -> Result<Program> {
    crate::place::fresh(home)?;
    let conf = home.join("redis.conf");
    let settings = settings.join("\n");
    let text = format!("bind 127.0.0.1\nport {port}\nsave \"\"\nappendonly no\n{settings}\n");
    fs::write(&conf, text).context(|| format!("write {}", conf.display()))?;
    Ok(Program::new(name, "redis-server", home).args([conf]).ready(move || ready(port)))
}

fn prepare_sentinel(home: &Path, port: u16, settings: &[&str]) -> Result<Program> {
    crate::place::fresh(home)?;
    let conf = home.join("sentinel.conf");
    let text = format!("bind 127.0.0.1\nport {port}\n{}\n", settings.join("\n"));
    fs::write(&conf, text).context(|| format!("write {}", conf.display()))?;
    let program = Program::new("sentinel", "redis-server", home);
    Ok(program.args([conf.as_os_str(), "--sentinel".as_ref()]).ready(move || ready(port)))
}

fn cli(port: u16, words: &[&str]) -> Result<String> {
    let output = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(words)
        .output()
        .context(|| "run redis-cli".to_owned())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The address of the shared server of `redis`, once `cargo xtask up` has started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&FIRST)
}

/// The address of the shared server of the caches, once `cargo xtask up` has started it.
pub fn shared_for_caches() -> Result<SocketAddr> {
    crate::service::require(&SECOND)
}

/// It listens before it has read its users, and may still end then; only an answer shows that it serves.
fn ready(port: u16) -> std::result::Result<(), String> {
    let mut answer = [0];
    let mut ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        stream.read_exact(&mut answer)
    };
    ask().map_err(|error: std::io::Error| format!("ping on port {port}: {error}"))
}
