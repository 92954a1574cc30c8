//! Tests of private brokers and workers, each of which has several processes.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use stack::Server;
use stack::celery::{App, Pool};
use stack::rabbit::Rabbit;
use stack::redis::Redis;

const QUEUE: &str = "high_priority";

#[test]
fn a_broker_has_the_stacks_users_and_no_guest() {
    let broker = Rabbit::start(&[]).unwrap();
    let users = broker.ctl(&["list_users"]).unwrap();
    assert!(users.contains("admin") && users.contains("health"), "{users}");
    assert!(!users.contains("guest"), "{users}");
}

#[test]
fn a_broker_listens_on_the_loopback_interface_only() {
    let broker = Rabbit::start(&[]).unwrap();
    let sockets = sockets(broker.server.pid().unwrap());
    let listening = |family: &str| {
        let table = fs::read_to_string(format!("/proc/net/{family}")).unwrap_or_default();
        table
            .lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .filter(|fields| fields[3] == "0A" && sockets.contains(&fields[9]))
            .map(|fields| fields[1].clone())
            .collect::<Vec<_>>()
    };
    let addresses = listening("tcp");
    assert!(!addresses.is_empty());
    assert!(addresses.iter().all(|address| address.starts_with("0100007F:")), "{addresses:?}");
    assert_eq!(listening("tcp6"), [""; 0]);
}

#[test]
fn a_paused_broker_accepts_connections_and_responds_when_it_is_resumed() {
    let broker = Rabbit::start(&[]).unwrap();
    broker.server.pause();
    let mut stream = connect(broker.port()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0]).is_err());
    broker.server.resume();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn durable_queues_survive_a_restart_of_the_broker() {
    let mut broker = Rabbit::start(&[]).unwrap();
    let app = App::new(&broker.admin_url(), "rpc://").unwrap();
    app.send(QUEUE, 3, 0).unwrap();
    broker.server.stop();
    assert!(connect(broker.port()).is_err());
    broker.server.restart().unwrap();
    let queues = broker.ctl(&["list_queues", "--vhost", "app", "name"]).unwrap();
    assert!(queues.contains(QUEUE), "{queues}");
}

#[test]
fn all_processes_of_a_broker_end_when_it_is_dropped() {
    let broker = Rabbit::start(&[]).unwrap();
    let (port, processes) = (broker.port(), processes(&broker.server));
    drop(broker);
    assert!(connect(port).is_err());
    wait_for_exit(&processes);
}

#[test]
fn a_held_task_ends_when_it_is_dropped() {
    let (broker, redis) = (Rabbit::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let redis_url = format!("redis://127.0.0.1:{}/0", redis.port());
    for (url, results) in [(broker.admin_url(), "rpc://"), (redis_url.clone(), &*redis_url)] {
        let app = App::new(&url, results).unwrap();
        let worker = app.worker("w1", Pool::Prefork, &[QUEUE]).unwrap();
        let hold = app.hold(QUEUE).unwrap();
        drop(hold);
        // The only child is idle again.
        app.hold(QUEUE).unwrap();
        assert_eq!(worker.name(), "w1@localhost");
    }
}

#[test]
fn a_paused_worker_stops_with_its_children_and_executes_tasks_when_it_is_resumed() {
    let redis = Redis::start(&[]).unwrap();
    let url = format!("redis://127.0.0.1:{}/0", redis.port());
    let app = App::new(&url, &url).unwrap();
    let worker = app.worker("w1", Pool::Prefork, &[QUEUE]).unwrap();
    worker.server.pause();
    let processes = processes(&worker.server);
    assert!(processes.len() > 1, "{processes:?}");
    assert!(processes.iter().all(|process| state(process) == Some('T')), "{processes:?}");
    worker.server.resume();
    app.hold(QUEUE).unwrap();
}

#[test]
fn all_processes_of_a_killed_busy_worker_end() {
    let redis = Redis::start(&[]).unwrap();
    let url = format!("redis://127.0.0.1:{}/0", redis.port());
    let app = App::new(&url, &url).unwrap();
    let worker = app.worker("w1", Pool::Prefork, &[QUEUE]).unwrap();
    let _hold = app.hold(QUEUE).unwrap();
    let processes = processes(&worker.server);
    assert!(processes.len() > 1, "{processes:?}");
    let parent = worker.server.pid().unwrap().to_string();
    assert!(Command::new("kill").args(["-KILL", &parent]).status().unwrap().success());
    wait_for_exit(&processes);
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"AMQP\0\0\x09\x01")?;
    Ok(stream)
}

/// Returns the `/proc` folders of the server's main process and its children.
#[expect(clippy::unwrap_used, reason = "a helper of tests, which fail by panicking")]
fn processes(server: &Server) -> Vec<PathBuf> {
    let pid = server.pid().unwrap();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")));
    let children: String = children.map(Result::unwrap).collect();
    let ids = children.split_whitespace().map(str::to_owned);
    ids.chain([pid.to_string()]).map(|id| PathBuf::from("/proc").join(id)).collect()
}

/// Returns the state of a process, as in `/proc/PID/stat`.
fn state(process: &Path) -> Option<char> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Returns the inodes of the sockets that a process has open.
#[expect(clippy::unwrap_used, reason = "a helper of tests, which fail by panicking")]
fn sockets(pid: i32) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    // A file that is closed in the meantime has no link.
    let links = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    let inode = |link: PathBuf| {
        Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
    };
    links.filter_map(inode).collect()
}

fn wait_for_exit(processes: &[PathBuf]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while processes.iter().any(|process| crate::is_running(process)) {
        assert!(Instant::now() < deadline, "one of {processes:?} is still running");
        thread::sleep(Duration::from_millis(10));
    }
}
