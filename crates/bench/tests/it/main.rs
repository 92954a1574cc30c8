//! The program is interrupted while its servers run.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

/// Longer than the servers take to start on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// How often a condition is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The working folders and the command lines of all processes.
fn processes() -> Vec<(PathBuf, String)> {
    let process = |entry: fs::DirEntry| {
        let folder = fs::read_link(entry.path().join("cwd")).ok()?;
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        Some((folder, String::from_utf8_lossy(&command).replace('\0', " ")))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(process).collect()
}

/// The command lines of the processes that run in `folder`.
fn processes_in(folder: &Path) -> Vec<String> {
    let inside = processes().into_iter().filter(|(path, _)| path.starts_with(folder));
    inside.map(|(_, command)| command).collect()
}

/// The temporary folder of the program that has started this gateway.
fn folder_of(gateway: &Path) -> Option<PathBuf> {
    let gateway = format!("{} serve ", gateway.display());
    let (home, _) = processes().into_iter().find(|(_, command)| command.contains(&gateway))?;
    let is_folder = |path: &&Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("health-gateway-bench-")
    };
    home.ancestors().find(is_folder).map(Path::to_owned)
}

fn interrupt(signal: Signal) {
    let own = tempfile::tempdir().unwrap();
    // A gateway that never listens. It starts no process, as the real one: a child that is started while the process is ended would be left over.
    let (gateway, pipe) = (own.path().join("gateway"), own.path().join("pipe"));
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::write(&gateway, format!("#!/bin/sh\nread -r line <> '{}'\n", pipe.display())).unwrap();
    fs::set_permissions(&gateway, fs::Permissions::from_mode(0o755)).unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["fleet", "--replicas", "3", "--minutes", "1", "--gateway"])
        .arg(&gateway)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + TIMEOUT;
    let folder = loop {
        let folder = folder_of(&gateway);
        let running = folder.as_deref().map(processes_in).unwrap_or_default();
        // A process that is starting another program has no command line for a moment.
        let runs = |name: &str| running.iter().any(|line| line.contains(name));
        if ["redis-server", "bin/postgres", "serve --listen"].into_iter().all(runs) {
            break folder.unwrap();
        }
        assert!(Instant::now() < deadline, "not all of its servers run: {running:?}");
        assert!(bench.try_wait().unwrap().is_none(), "it has exited");
        sleep(POLL_INTERVAL);
    };
    kill_process(Pid::from_child(&bench), signal).unwrap();
    assert_eq!(wait(&mut bench, deadline), Some(130));
    assert_eq!(processes_in(&folder), [""; 0]);
    assert!(!folder.exists(), "{}", folder.display());
}

fn wait(bench: &mut Child, deadline: Instant) -> Option<i32> {
    loop {
        if let Some(status) = bench.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < deadline, "it does not exit");
        sleep(POLL_INTERVAL);
    }
}

#[test]
fn ctrl_c_ends_all_servers_and_removes_their_folders() {
    interrupt(Signal::INT);
}

#[test]
fn sigterm_ends_all_servers_and_removes_their_folders() {
    interrupt(Signal::TERM);
}
