//! A running gateway: the real program, with its own port and folder, called over HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use stack::{Program, Server};
use tempfile::TempDir;

/// The time limit of everything that a test waits for.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The access token of [`FILE`].
pub(crate) const TOKEN: &str = "token-of-the-tests";

/// The beginning of a configuration file with an access token, so that no Vault is needed.
pub(crate) const FILE: &str =
    "namespace = \"tests\"\naccess_token = \"token-of-the-tests\"\nmax_age = \"0s\"\n";

/// The real program, serving a folder of configuration files.
pub(crate) struct Gateway {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

/// A response of the gateway.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Gateway {
    /// Starts a gateway with one file.
    pub(crate) fn start(text: &str) -> Self {
        Self::start_with(&[("tests.toml", text)])
    }

    /// Starts a gateway with several files.
    pub(crate) fn start_with(files: &[(&str, &str)]) -> Self {
        Self::start_with_arguments(files, &[])
    }

    /// Starts a gateway with several files and additional arguments.
    pub(crate) fn start_with_arguments(files: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::start_by(files, &[env!("CARGO_BIN_EXE_health-gateway")], arguments)
    }

    /// Starts a gateway that may have this number of open files.
    pub(crate) fn start_with_open_files(text: &str, limit: u16) -> Self {
        let script = format!("ulimit -n {limit} && exec \"$@\"");
        let command = ["sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_health-gateway")];
        Self::start_by(&[("tests.toml", text)], &command, &[])
    }

    /// Starts a gateway by a command to which its arguments are added.
    pub(crate) fn start_by(files: &[(&str, &str)], command: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("health-gateway-").tempdir().unwrap();
        let (home, config) = (folder.path().join("home"), folder.path().join("config"));
        fs::create_dir(&home).unwrap();
        fs::create_dir(&config).unwrap();
        for (name, text) in files {
            fs::write(config.join(name), text).unwrap();
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port().unwrap()));
        let program = Program::new("health-gateway", command[0], &home)
            .args(&command[1..])
            .args(["serve", "--listen", &address.to_string()])
            .args(arguments)
            .args(["--config"])
            .args([&config])
            .ready_on(address.port())
            .stop(Signal::TERM);
        Self { server: Server::start(program).unwrap(), address, folder }
    }

    /// The path of a file in its folder of configuration files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("config").join(name)
    }

    /// Replaces one of its files atomically, as editors and Kubernetes do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file(name)).unwrap();
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("home.log")).unwrap()
    }

    /// Requests the report with [`TOKEN`].
    pub(crate) fn report(&self) -> Value {
        self.report_with(TOKEN, &[])
    }

    /// Requests the report with a token and headers such as `Cache-Control: no-cache`.
    pub(crate) fn report_with(&self, token: &str, headers: &[&str]) -> Value {
        let answer = get(self.address, token, headers);
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The status of the check at `path`, such as `/cache/data`, in a new report.
    pub(crate) fn status(&self, path: &str) -> String {
        status(&self.report(), path)
    }

    /// Requests reports until the status of the check at `path` contains `expected`.
    pub(crate) fn wait_for_status(&self, path: &str, expected: &str) {
        wait_for(expected, || {
            let status = self.status(path);
            status.contains(expected).then_some(()).ok_or(status)
        });
    }

    /// Waits until the log contains `expected`.
    pub(crate) fn wait_for_log(&self, expected: &str) {
        wait_for(expected, || {
            let log = self.log();
            log.contains(expected).then_some(()).ok_or(log)
        });
    }

    /// The number of its open connections to each of these ports.
    pub(crate) fn connections(&self, ports: &[u16]) -> Vec<usize> {
        let pid = self.server.pid().expect("it runs");
        let sockets: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
            .filter_map(|link| {
                let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                Some(inode.to_owned())
            })
            .collect();
        let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
        let remote: Vec<_> = table
            .lines()
            .skip(1)
            .filter_map(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                let port = u16::from_str_radix(fields[2].rsplit_once(':')?.1, 16).ok()?;
                sockets.iter().any(|inode| inode == fields[9]).then_some(port)
            })
            .collect();
        ports.iter().map(|port| remote.iter().filter(|it| *it == port).count()).collect()
    }
}

/// The status of the check at `path` in `report`.
pub(crate) fn status(report: &Value, path: &str) -> String {
    let status = report.pointer(&format!("{path}/status")).and_then(Value::as_str);
    status.unwrap_or_else(|| panic!("{path} is in {report}")).to_owned()
}

/// Requests the report with a token.
pub(crate) fn get(address: SocketAddr, token: &str, headers: &[&str]) -> Response {
    try_get(address, token, headers).expect("a complete response")
}

/// Requests the report with a token. Returns `None` if the connection is closed before the response is complete.
pub(crate) fn try_get(address: SocketAddr, token: &str, headers: &[&str]) -> Option<Response> {
    receive(send(address, "GET", &format!("/api/health/{token}/"), headers)?)
}

/// Sends a request on a new connection, from which [`receive`] reads the response.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    let request = format!("{method} {path} HTTP/1.1");
    let lines = [&[request.as_str(), "Host: gateway", "Connection: close"], headers, &["", ""]];
    stream.write_all(lines.concat().join("\r\n").as_bytes()).ok()?;
    Some(stream)
}

/// Reads the response to the only request of a connection. Returns `None` if the connection is closed before it is complete.
pub(crate) fn receive(mut stream: TcpStream) -> Option<Response> {
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    (body.len() == length).then(|| Response { status, headers, body: body.to_owned() })
}

/// The date and time of an RFC 3339 timestamp, as `date` prints it.
pub(crate) fn date(when: &str) -> String {
    let output =
        Command::new("date").args(["--utc", "--iso-8601=seconds", "--date", when]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

/// Sends requests one after another until `end`, at least 100, and returns the 99th percentile of the times that they took.
pub(crate) fn percentile_99(end: Instant, request: impl Fn()) -> Duration {
    let mut times = Vec::new();
    while times.len() < 100 || Instant::now() < end {
        let begun = Instant::now();
        request();
        times.push(begun.elapsed());
    }
    times.sort();
    times[times.len() * 99 / 100]
}

/// Calls `ready` until it succeeds, or panics with its last error after [`TIMEOUT`].
pub(crate) fn wait_for<T>(what: &str, ready: impl Fn() -> Result<T, String>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match ready() {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("waited for `{what}`: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
