//! The gateway under soak: its folder of files, its log and its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stack::{Program, Server, free_port};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::findings::Findings;
use crate::http::client::check_results;
use crate::proc;
use crate::soak::ANSWER_TIMEOUT;
use crate::soak::servers::Servers;

/// The main configuration file.
pub(super) const CONFIG: &str = "demo.toml";
/// Longer than any check takes to work, and longer than the pause after a refused login.
const WORKING_TIMEOUT: Duration = Duration::from_mins(2);
/// Longer than the gateway takes to drain its connections.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// Messages that mean a defect, whatever happens to the backends.
const DEFECTS: [&str; 3] = ["panicked", "request panicked", "report missed its deadline"];

/// A running gateway, which ends when this is dropped.
pub(super) struct SoakedGateway {
    server: Server,
    pid: i32,
    address: SocketAddr,
    own: SocketAddr,
    folder: TempDir,
    log: Mutex<Log>,
}

/// The part of the log that was checked.
struct Log {
    position: u64,
    /// The beginning of a line that is not complete.
    rest: Vec<u8>,
    messages: BTreeMap<String, usize>,
}

impl SoakedGateway {
    /// Starts `binary` with the demo's configuration on `servers`, after Vault was seeded for it.
    pub(super) fn start(binary: &Path, servers: &Servers) -> Result<Self> {
        let folder = tempfile::tempdir().context("create a folder")?;
        let (home, config) = (folder.path().join("gateway"), folder.path().join("config"));
        for folder in [&home, &config] {
            fs::create_dir(folder).context("create a folder")?;
        }
        stack::seed_vault(servers.vault.port(), &config)?;
        let settings = format!(
            "access_token_grace = \"10m\"\ntimeout = \"2s\"\nanswer_timeout = \"{}s\"\n\n[cache]\n",
            ANSWER_TIMEOUT.as_secs()
        );
        let text = servers.config().replacen("\n[cache]\n", &settings, 1);
        fs::write(config.join(CONFIG), text).context("write the configuration")?;
        let listen = || Ok::<_, Error>(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
        let (address, own) = (listen()?, listen()?);
        let program = Program::new("gateway", binary, &home)
            .args(["serve", "--listen", &address.to_string()])
            .args(["--health-listen", &own.to_string(), "--config"])
            .args([config])
            // As in the image.
            .env("MALLOC_ARENA_MAX", "1")
            .ready_on(address.port());
        let server = Server::start(program)?;
        let pid = server.pid().ok_or_else(|| Error::new("the gateway has exited"))?;
        let log = Mutex::new(Log { position: 0, rest: Vec::new(), messages: BTreeMap::new() });
        Ok(Self { server, pid, address, own, folder, log })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of its tasks.
    pub(super) fn tasks(&self) -> Result<usize> {
        let response = stack::http::request(self.own, "GET", "/tasks", &[], "")?;
        response.body.trim().parse().context("read the number of tasks")
    }

    /// The path of a file in its folder of configuration files.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("config").join(name)
    }

    /// Replaces a file atomically, as editors and Kubernetes do.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let new = self.folder.path().join("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, self.file(name))).context(name)
    }

    /// Makes the gateway read all of its files and secrets again.
    pub(super) fn reload(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            // This fails only if it has exited, which is found by the next sample.
            kill_process(pid, Signal::HUP).ok();
        }
    }

    /// Whether it runs; an exited process has no memory.
    pub(super) fn is_running(&self) -> bool {
        proc::resident(self.pid).is_ok()
    }

    /// Waits until every check is `working`, and returns their names.
    pub(super) fn wait_until_working(&self, token: &str) -> Result<Vec<String>> {
        let deadline = Instant::now() + WORKING_TIMEOUT;
        loop {
            let report = self.report(token)?;
            let results = check_results(&report);
            let failed = results.iter().find(|(_, result)| result["status"] != "working");
            let Some((name, result)) = failed else {
                return Ok(results.into_iter().map(|(name, _)| name).collect());
            };
            if Instant::now() > deadline {
                return Err(Error::new(format!("not working without faults: {name}: {result}")));
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Returns the status code of a report with this token.
    pub(super) fn status(&self, token: &str) -> Result<u16> {
        let path = format!("/api/health/{token}/");
        Ok(stack::http::request(self.address, "GET", &path, &[], "")?.status)
    }

    fn report(&self, token: &str) -> Result<Value> {
        let path = format!("/api/health/{token}/");
        let accept = "Accept: application/json";
        let response = stack::http::request(self.address, "GET", &path, &[accept], "")?;
        serde_json::from_str(&response.body).context("read the report")
    }

    /// Checks the lines that were logged since the last call.
    pub(super) fn check_log(&self, findings: &Findings) {
        let mut log = self.log.lock();
        match log.read(&self.folder.path().join("gateway.log")) {
            Ok(lines) => lines.iter().for_each(|line| log.check(line, findings)),
            Err(error) => findings.report(format!("read the log: {error}")),
        }
    }

    /// Checks that everything is working after the last fault, and that SIGTERM ends it in order.
    pub(super) fn check_end(&self, token: &str, findings: &Findings) {
        if let Err(error) = self.wait_until_working(token) {
            findings.report(format!("after the last fault: {error}"));
        }
        self.server.terminate();
        let deadline = Instant::now() + END_TIMEOUT;
        while self.is_running() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        self.check_log(findings);
        let messages = &self.log.lock().messages;
        if self.is_running() || !messages.contains_key("stopped") {
            findings.report("SIGTERM did not stop the gateway in order");
        }
        let lines: Vec<_> =
            messages.iter().map(|(message, count)| format!("{count} `{message}`")).collect();
        println!("log lines: {}", lines.join(", "));
    }
}

impl Log {
    /// Returns the complete lines that were added.
    fn read(&mut self, path: &Path) -> std::io::Result<Vec<String>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.position))?;
        let read = file.read_to_end(&mut self.rest)?;
        self.position += u64::try_from(read).unwrap_or_default();
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let complete: Vec<_> = self.rest.drain(..end).collect();
        Ok(String::from_utf8_lossy(&complete).lines().map(str::to_owned).collect())
    }

    fn check(&mut self, line: &str, findings: &Findings) {
        findings.check_text("the log", line);
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let Some(message) = event["message"].as_str() else {
            return findings.report(format!("a line of the log is no event: {line}"));
        };
        *self.messages.entry(message.to_owned()).or_default() += 1;
        // The soak writes invalid files itself.
        let is_expected = event["level"] != "ERROR" || message == "config rejected";
        if DEFECTS.contains(&message) || !is_expected {
            findings.report(format!("logged: {line}"));
        }
    }
}
