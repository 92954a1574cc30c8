//! The log never delays the gateway, whatever reads it.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::running::{FILE, TOKEN, get, receive, send, wait_for};

/// More refused requests than fill a pipe of 64 KiB and the queue.
const REFUSED_REQUESTS: usize = 3000;

/// A gateway with its standard error redirected, or connected to a pipe that the test does not read.
struct Unread {
    child: Child,
    address: SocketAddr,
    own: SocketAddr,
    _folder: TempDir,
}

impl Unread {
    fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a gateway with standard streams that a shell redirects.
    fn start_with(redirections: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tests.toml"), FILE).unwrap();
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port().unwrap()));
        let (address, own) = (free(), free());
        let child = Command::new("sh")
            .args(["-c", &format!("exec \"$@\" {redirections}"), "sh"])
            .args([env!("CARGO_BIN_EXE_health-gateway"), "serve"])
            .args(["--listen", &address.to_string()])
            .args(["--health-listen", &own.to_string(), "--config"])
            .arg(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let unread = Self { child, address, own, _folder: folder };
        wait_for("the endpoint", || {
            send(address, "GET", "/", &[]).map(drop).ok_or_else(|| "refused".to_owned())
        });
        unread
    }

    /// Sends requests with a wrong method and the right token, each of which is logged.
    fn fill_the_log(&self) {
        let path = format!("/api/health/{TOKEN}/");
        for _ in 0..REFUSED_REQUESTS {
            let response = send(self.address, "POST", &path, &[]).and_then(receive);
            assert_eq!(response.expect("a response").status, 405);
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn an_unread_log_stops_nothing_and_dropped_lines_are_logged() {
    let mut gateway = Unread::start();
    gateway.fill_the_log();
    assert_eq!(get(gateway.address, TOKEN, &[]).status, 200);
    let livez = receive(send(gateway.own, "GET", "/livez", &[]).expect("it listens"));
    assert_eq!(livez.expect("a response").status, 200);

    let log = BufReader::new(gateway.child.stderr.take().unwrap());
    let mut lines = log.lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("\"log lines dropped\"")), "the log ended");
}

#[test]
fn an_unread_log_does_not_delay_the_shutdown() {
    let mut gateway = Unread::start();
    gateway.fill_the_log();
    let pid = Pid::from_child(&gateway.child);
    kill_process(pid, Signal::TERM).unwrap();
    // The pipe stays open: a closed one would end the wait of a blocked writer.
    let child = RefCell::new(&mut gateway.child);
    wait_for("the end", || {
        let ended = child.borrow_mut().try_wait().map_err(|error| error.to_string())?;
        ended.ok_or_else(|| "it is running".to_owned()).map(|status| assert!(status.success()))
    });
}

#[test]
fn a_full_disk_and_closed_standard_streams_stop_nothing() {
    for redirections in ["2>/dev/full", "<&- >&- 2>&-"] {
        let mut gateway = Unread::start_with(redirections);
        for _ in 0..50 {
            assert_eq!(get(gateway.address, "wrong/path", &[]).status, 404, "{redirections}");
        }
        assert_eq!(get(gateway.address, TOKEN, &[]).status, 200, "{redirections}");
        kill_process(Pid::from_child(&gateway.child), Signal::TERM).unwrap();
        assert_eq!(gateway.child.wait().unwrap().code(), Some(0), "{redirections}");
    }
}
