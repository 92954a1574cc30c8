//! Tests of private servers, which start, pause, restart, and end with their test.

mod aws;
mod brokers;
mod history;
mod modes;

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
fn a_server_ends_when_it_is_dropped() {
    let redis = Redis::start(&[]).unwrap();
    let (process, port) = (process(&redis), redis.port());
    assert!(process.exists());
    drop(redis);
    assert!(!process.exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_paused_server_accepts_connections_and_responds_when_it_is_resumed() {
    let redis = Redis::start(&[]).unwrap();
    redis.server.pause();
    let mut stream = ping(redis.port()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0]).is_err());
    redis.server.resume();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"+PONG\r\n");
}

#[test]
fn a_paused_server_ends_when_it_is_dropped() {
    let redis = Redis::start(&[]).unwrap();
    redis.server.pause();
    let process = process(&redis);
    drop(redis);
    assert!(!process.exists());
}

#[test]
fn a_stopped_server_refuses_connections_and_a_restarted_one_has_the_same_port() {
    let mut redis = Redis::start(&[]).unwrap();
    let before = process(&redis);
    redis.server.stop();
    assert!(ping(redis.port()).is_err());
    redis.server.restart().unwrap();
    assert_ne!(process(&redis), before);
    assert!(ping(redis.port()).is_ok());
}

#[test]
fn the_error_of_a_server_that_does_not_start_contains_its_log() {
    let error = Redis::start(&["no-such-setting 1"]).err().unwrap().to_string();
    assert!(error.contains("it exited"), "{error}");
    assert!(error.contains("no-such-setting"), "{error}");
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let redis = thread::spawn(|| Redis::start(&[]).unwrap()).join().unwrap();
    assert!(ping(redis.port()).is_ok());
    assert!(process(&redis).exists());
}

/// Also runs as a child process: with the variable set, it starts a server and waits until it is killed.
#[test]
fn a_server_ends_when_its_process_is_killed() {
    const CHILD: &str = "STACK_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        let redis = Redis::start(&[]).unwrap();
        println!("server {}", process(&redis).display());
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_server_ends_when_its_process_is_killed", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let server = |line: String| Some(PathBuf::from(line.split_once("server ")?.1));
    let process = lines.into_iter().find_map(server).unwrap();
    // The server runs in `data`, below the temporary folder, which the killed process could not remove.
    let data = fs::read_link(process.join("cwd")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_running(&process) {
        assert!(Instant::now() < deadline, "{} is still running", process.display());
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

fn ping(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"PING\r\n")?;
    Ok(stream)
}

/// Returns the `/proc` folder of the server's process.
#[expect(clippy::unwrap_used, reason = "a helper of tests, which fail by panicking")]
fn process(redis: &Redis) -> PathBuf {
    PathBuf::from(format!("/proc/{}", redis.server.pid().unwrap()))
}

/// Whether a process runs; a zombie does not.
fn is_running(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
