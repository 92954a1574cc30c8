//! Checks that the gateway runs by itself, and which of their failures count.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::running::{FILE, Gateway, TOKEN, get, wait_for};

/// A server that closes each connection, and counts them.
struct Closing {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Closing {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        thread::spawn(move || {
            while let Ok((connection, _)) = listener.accept() {
                drop(connection);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, connections }
    }

    fn section(&self, name: &str, more: &str) -> String {
        let port = self.port;
        format!("[{name}]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\n{more}\n")
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits for `more` connections, that is runs, from now on.
    fn wait_for(&self, more: usize) {
        let expected = self.count() + more;
        wait_for("runs", || match self.count() {
            count if count >= expected => Ok(()),
            count => Err(format!("{count} of {expected}")),
        });
    }
}

const EVERY_SECOND: &str = "interval = \"1s\"";

#[test]
fn a_check_runs_without_a_caller_as_its_current_interval_says() {
    let (changing, other) = (Closing::start(), Closing::start());
    let file = |changing: &str, other: &str| format!("{FILE}{changing}{other}");
    let (with, without) = (changing.section("a", EVERY_SECOND), changing.section("a", ""));
    let others = other.section("b", EVERY_SECOND);
    let gateway = Gateway::start(&file(&with, &others));
    gateway.wait_for_log("\"check\":\"a\"");
    changing.wait_for(1);
    gateway.write("tests.toml", &file(&without, &others));
    gateway.wait_for_log("config reloaded");
    // A run may have begun before the reload.
    other.wait_for(2);
    let before = changing.count();
    other.wait_for(2);
    assert_eq!(changing.count(), before, "it has no interval any more");
    gateway.write("tests.toml", &file(&with, &others));
    changing.wait_for(1);
}

#[test]
fn the_first_interval_of_a_configuration_takes_effect() {
    let closing = Closing::start();
    let gateway = Gateway::start(&format!("{FILE}{}", closing.section("a", "")));
    gateway.write("tests.toml", &format!("{FILE}{}", closing.section("a", EVERY_SECOND)));
    closing.wait_for(1);
}

#[test]
fn the_log_names_the_namespace_of_a_check_that_fails() {
    let redis = format!("[redis]\nurl = \"redis://127.0.0.1:1\"\n{EVERY_SECOND}\n");
    let gateway = Gateway::start(&format!("{FILE}{redis}"));
    gateway.wait_for_log("check failed");
    let log = gateway.log();
    assert!(log.contains("\"namespace\":\"tests\",\"check\":\"redis\""), "{log}");
}

#[test]
fn a_draining_gateway_starts_no_run_and_cancels_its_own() {
    let (silent, closing) = (TcpListener::bind("127.0.0.1:0").unwrap(), Closing::start());
    let port = silent.local_addr().unwrap().port();
    let own =
        format!("timeout = \"1h\"\n[redis]\nurl = \"redis://127.0.0.1:{port}\"\n{EVERY_SECOND}\n");
    let mut gateway = Gateway::start(&format!("{FILE}{own}{}", closing.section("b", EVERY_SECOND)));
    let (_connection, _) = silent.accept().unwrap();
    closing.wait_for(1);
    gateway.server.terminate();
    gateway.wait_for_log("shutting down");
    gateway.server.stop();
    let log = gateway.log();
    assert!(log.contains("stopped") && !log.contains("\"check\":\"redis\""), "{log}");
}

#[test]
fn warnings_and_maintenance_do_not_count_for_the_status_code() {
    let file = format!("{FILE}failure_status = 503\n");
    let redis = "[redis]\nurl = \"redis://127.0.0.1:1\"\n";
    let gateway = Gateway::start(&format!("{file}{redis}"));
    let wait = |text: &str, expected: u16| {
        gateway.write("tests.toml", text);
        let answer = wait_for("a status code", || match get(gateway.address, TOKEN, &[]) {
            answer if answer.status == expected => Ok(answer),
            answer => Err(answer.status.to_string()),
        });
        assert!(answer.body.contains("connect: connection refused"), "{}", answer.body);
    };
    wait(&format!("{file}{redis}"), 503);
    wait(&format!("{file}{redis}severity = \"warning\"\n"), 200);
    wait(&format!("{file}{redis}maintenance_until = 2020-01-31T04:00:00Z\n"), 503);
}
