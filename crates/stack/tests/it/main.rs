//! Private servers: they start, pause, restart, and never outlive their test.

mod aws;
mod brokers;
mod history;
mod ways;

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stack::redis::Redis;

#[test]
fn a_server_ends_with_its_value() {
    let redis = Redis::start(&[]).unwrap();
    let (process, port) = (process(&redis), redis.port());
    assert!(process.exists());
    drop(redis);
    assert!(!process.exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_paused_server_accepts_and_answers_only_when_it_is_resumed() {
    let redis = Redis::start(&[]).unwrap();
    redis.server.pause();
    let mut asked = ask(redis.port()).unwrap();
    asked.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(asked.read(&mut [0]).is_err());
    redis.server.resume();
    asked.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = [0; 7];
    asked.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_paused_server_ends_with_its_value() {
    let redis = Redis::start(&[]).unwrap();
    redis.server.pause();
    let process = process(&redis);
    drop(redis);
    assert!(!process.exists());
}

#[test]
fn a_stopped_server_refuses_and_a_restarted_one_answers_on_the_same_port() {
    let mut redis = Redis::start(&[]).unwrap();
    let before = process(&redis);
    redis.server.stop();
    assert!(ask(redis.port()).is_err());
    redis.server.restart().unwrap();
    assert_ne!(process(&redis), before);
    assert!(ask(redis.port()).is_ok());
}

#[test]
fn a_server_that_does_not_start_shows_why() {
    let error = Redis::start(&["no-such-setting 1"]).err().unwrap().to_string();
    assert!(error.contains("it ended by itself"), "{error}");
    assert!(error.contains("no-such-setting"), "{error}");
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let redis = thread::spawn(|| Redis::start(&[]).unwrap()).join().unwrap();
    assert!(ask(redis.port()).is_ok());
    assert!(process(&redis).exists());
}

/// Plays the test's process, too: with the variable set, it starts a server and waits to be killed.
#[test]
fn a_server_does_not_outlive_its_killed_process() {
    const PLAY: &str = "STACK_TEST_HOLDS_A_SERVER";
    if env::var_os(PLAY).is_some() {
        let redis = Redis::start(&[]).unwrap();
        println!("holds {}", process(&redis).display());
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_server_does_not_outlive_its_killed_process", "--nocapture"])
        .env(PLAY, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let held = |line: String| Some(PathBuf::from(line.split_once("holds ")?.1));
    let process = lines.into_iter().find_map(held).unwrap();
    // The server runs in `data`, beneath the folder that its killed owner cannot remove any more.
    let data = fs::read_link(process.join("cwd")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while runs(&process) {
        assert!(Instant::now() < deadline, "{} still runs", process.display());
        thread::sleep(Duration::from_millis(10));
    }
    assert!(data.ends_with("data"), "{}", data.display());
    fs::remove_dir_all(data.parent().unwrap()).unwrap();
}

#[test]
fn no_two_callers_get_the_same_free_port() {
    let mut ports: Vec<_> = (0..20).map(|_| stack::free_port().unwrap()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 20);
}

fn ask(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"PING\r\n")?;
    Ok(stream)
}

/// The folder that the kernel shows for the server's process.
#[expect(clippy::unwrap_used, reason = "a helper of tests, which fail by panicking")]
fn process(redis: &Redis) -> PathBuf {
    PathBuf::from(format!("/proc/{}", redis.server.pid().unwrap()))
}

/// A process that ended but was not reaped by its new parent yet does not run.
fn runs(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
