//! The command line: its output and its exit codes.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, getuid, kill_process};
use serde_json::{Value, json};
use stack::redis::Redis;
use tempfile::TempDir;

use crate::running::{FILE, Gateway, TOKEN, status, try_get, wait_for};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_health-gateway")).args(arguments).output().unwrap()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn check_config_prints_every_error_of_every_file_and_fails() {
    let folder = folder(&[
        ("a.toml", "namespace = \"a\"\naccess_token = \"t\"\ncolour = \"blue\"\n"),
        ("b.toml", "namespace = \"b\"\naccess_token = \"hunter2"),
        ("c.toml", "namespace = \"c\"\naccess_token = \"t\"\n"),
        ("d.toml", "namespace = \"c\"\naccess_token = \"u\"\n"),
        ("e.toml", "namespace = \"e\"\naccess_token = \"t\"\n"),
        ("notes.txt", "no configuration"),
    ]);
    let output = run(&["check-config", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8(output.stderr).unwrap();
    let prefix = format!("{}/", folder.path().display());
    let lines: Vec<_> = errors.lines().map(|line| line.replace(&prefix, "")).collect();
    assert_eq!(lines.len(), 4, "{errors}");
    assert!(lines[0].starts_with("a.toml:3: unknown key `colour`, expected one of"), "{errors}");
    assert_eq!(lines[1], "b.toml:2: invalid basic string, expected `\"`");
    assert_eq!(
        lines[2],
        "d.toml:1: the namespace `c` is already used by c.toml: each file needs its own"
    );
    assert_eq!(
        lines[3],
        "e.toml:1: access_token: it is already used by `c` in c.toml: each namespace needs its own"
    );
}

#[test]
fn names_in_errors_do_not_steer_the_terminal() {
    let text = format!("\"a\\u001b[2J\" = 1\n{FILE}[cache]\n\"b\\u009b1m\" = 1\n");
    let folder = folder(&[("c\u{1b}[2J.toml", &text)]);
    let path = folder.path().to_str().unwrap();
    for arguments in [
        &["check-config", path][..],
        &["permissions", path],
        &["probe", "--config", path],
        &["serve", "--listen", "127.0.0.1:0", "--config", path],
    ] {
        let Output { stdout, stderr, .. } = run(arguments);
        let printed = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(printed.contains(r"c\u{1b}[2J.toml:1: unknown key `a\u{1b}[2J`"), "{printed:?}");
        assert!(!printed.replace('\n', "").contains(char::is_control), "{printed:?}");
    }
}

/// A process of root has no limit of threads, so the command is run as another user if the test is run by root.
#[test]
fn a_start_without_enough_threads_fails_with_one_line() {
    let folder = folder(&[("a.toml", "namespace = \"a\"\naccess_token = \"0123456789abcdef\"\n")]);
    let binary = folder.path().join("health-gateway");
    fs::copy(env!("CARGO_BIN_EXE_health-gateway"), &binary).unwrap();
    for path in [folder.path(), &binary] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("prlimit");
    if getuid().is_root() {
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--clear-groups", "prlimit"]);
    }
    command.arg("--nproc=5").arg(&binary).args(["serve", "--listen", "127.0.0.1:0", "--config"]);
    let output = command.arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "cannot start threads: resource temporarily unavailable\n"
    );
}

#[test]
fn check_config_accepts_a_valid_file() {
    let folder =
        folder(&[("a.toml", FILE), ("b.toml", "namespace = \"b\"\naccess_token = \"token\"\n")]);
    let (file, short) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
    let output = run(&["check-config", short.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let expected = format!(
        "note: {0}:2: access_token: it has fewer than 16 characters and may be guessed: `openssl rand -hex 32` makes a good one\n\
         {0}: namespace `b`, nothing wrong\n",
        short.display()
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let output = run(&["check-config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let output = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output, format!("{}: namespace `tests`, nothing wrong\n", file.display()));
}

#[test]
fn check_config_prints_errors_as_json_and_as_annotations_of_a_workflow() {
    let wrong =
        "namespace = \"a\"\naccess_token = \"t\"\n[redis]\nurl = \"redis://h\"\ntimeout = \"0s\"\n";
    let folder = folder(&[("a,b:c.toml", wrong), ("b.toml", "namespace = 7")]);
    let path = folder.path().to_str().unwrap();
    let printed = |folder: &str, format: &str, code| {
        let output = run(&["check-config", "--format", format, folder]);
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(code), &b""[..]));
        String::from_utf8(output.stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&printed(path, "json", 1)).unwrap();
    let expected = json!({
        "level": "error", "file": format!("{path}/a,b:c.toml"), "line": 5, "key": "redis.timeout",
        "message": "expected a timeout of at least `1ms`",
    });
    assert_eq!(report["diagnostics"][0], expected);
    assert_eq!(report["namespaces"], json!([]));
    let annotations = printed(path, "github", 1);
    let expected = format!(
        "::error file={path}/a%2Cb%3Ac.toml,line=5::redis.timeout: expected a timeout of at least `1ms`"
    );
    assert_eq!(annotations.lines().next(), Some(expected.as_str()));

    let valid = self::folder(&[("c.toml", "namespace = \"c\"\naccess_token = \"t\"\n")]);
    let path = valid.path().to_str().unwrap();
    let report: Value = serde_json::from_str(&printed(path, "json", 0)).unwrap();
    assert_eq!(report["namespaces"], json!([{"file": format!("{path}/c.toml"), "name": "c"}]));
    assert_eq!(report["diagnostics"][0]["level"], "note");
    assert!(printed(path, "github", 0).starts_with("::notice file="), "a short token is a note");
}

#[test]
fn serve_on_a_terminal_prints_its_addresses() {
    let folder = folder(&[("a.toml", FILE)]);
    let (listen, own) = (stack::free_port().unwrap(), stack::free_port().unwrap());
    let command = format!(
        "exec setpriv --pdeathsig TERM {} serve --config {} --listen 127.0.0.1:{listen} --health-listen 127.0.0.1:{own} 2>/dev/null",
        env!("CARGO_BIN_EXE_health-gateway"),
        folder.path().display()
    );
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let mut serve = terminal.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(serve.stdout.take().unwrap()).lines().take(3);
    let lines: Vec<_> = lines.map(|line| line.unwrap().trim_end().to_owned()).collect();
    assert_eq!(
        lines,
        [
            format!("report and page  http://127.0.0.1:{listen}/api/health/<access_token>/"),
            format!("metrics          http://127.0.0.1:{own}/metrics"),
            format!("own health       http://127.0.0.1:{own}/livez and /readyz"),
        ]
    );
    kill_process(Pid::from_child(&serve), Signal::TERM).unwrap();
    serve.wait().unwrap();
}

#[test]
fn check_config_notes_what_is_ignored_in_a_url() {
    let section = "[redis]\nurl = 'redis://h?max_connections=9&protocol=3'\n";
    let folder = folder(&[("a.toml", &format!("{FILE}{section}"))]);
    let file = folder.path().join("a.toml");
    let output = run(&["check-config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let expected = format!(
        "note: {0}:{1}: redis.url: ignored here: `max_connections`, `protocol`\n\
         {0}: namespace `tests`, nothing wrong\n",
        file.display(),
        FILE.lines().count() + 2
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn check_config_reports_a_missing_file() {
    let output = run(&["check-config", "/nowhere/a.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "/nowhere/a.toml:1: cannot read the file: no such file or directory\n"
    );
}

#[test]
fn serve_does_not_start_with_an_invalid_file_or_an_empty_folder() {
    let bad = folder(&[("a.toml", "namespace = \"a\"\naccess_token = \"t\"\ncolour = 1\n")]);
    let empty = folder(&[]);
    for (folder, expected) in [(&bad, "unknown key `colour`"), (&empty, "no `*.toml`")] {
        let path = folder.path().to_str().unwrap();
        let output = run(&["serve", "--config", path, "--listen", "127.0.0.1:0"]);
        assert_eq!(output.status.code(), Some(2));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn serve_does_not_start_on_an_address_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let good = folder(&[("a.toml", FILE)]);
    let path = good.path().to_str().unwrap();
    let output = run(&["serve", "--config", path, "--listen", &address]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(errors, format!("cannot listen on {address}: address already in use\n"));
}

#[test]
fn sigterm_finishes_the_requests_in_flight() {
    let redis = Redis::start(&[]).unwrap();
    let file =
        format!("{FILE}timeout = \"1s\"\n[redis]\nurl = \"redis://127.0.0.1:{}\"\n", redis.port());
    let mut gateway = Gateway::start(&file);
    assert_eq!(gateway.status("/redis"), "working");
    redis.server.pause();
    let address = gateway.address;
    let callers: Vec<_> =
        (0..50).map(|_| thread::spawn(move || try_get(address, TOKEN, &[]))).collect();
    let port = redis.port();
    // Every caller is connected before the shutdown begins.
    wait_for("fifty callers", || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let local = format!("0100007F:{:04X} ", address.port());
        let count = table
            .lines()
            .filter(|line| {
                line.split_once(": ").is_some_and(|(_, rest)| {
                    rest.starts_with(&local) && rest.split(' ').nth(2) == Some("01")
                })
            })
            .count();
        if count >= 50 { Ok(()) } else { Err(count.to_string()) }
    });
    let begun = Instant::now();
    gateway.server.stop();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    for caller in callers {
        let answer = caller.join().unwrap().expect("a complete response");
        let report = serde_json::from_str(&answer.body).unwrap();
        let status = status(&report, "/redis");
        assert_eq!(status, format!("write: no answer within 1s (127.0.0.1:{port})"));
    }
    assert!(gateway.log().contains("stopped"), "{}", gateway.log());
}

#[test]
fn a_reference_to_anything_but_a_regular_file_is_an_error_at_once() {
    let folder = folder(&[]);
    let path = |name: &str| folder.path().join(name);
    mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    symlink("loop", path("loop")).unwrap();
    let cases = [
        ("pipe", "it is not a regular file"),
        ("/dev/zero", "it is not a regular file"),
        (".", "it is not a regular file"),
        ("loop", "too many levels of symbolic links"),
    ];
    for (name, expected) in cases {
        let file = path("a.toml");
        fs::write(&file, format!("namespace = \"a\"\naccess_token = \"${{file:{name}}}\"\n"))
            .unwrap();
        let output = run(&["check-config", file.to_str().unwrap()]);
        let errors = String::from_utf8(output.stderr).unwrap();
        let prefix =
            format!("{}:2: access_token: cannot read `{name}`: {expected}", file.display());
        assert!(errors.starts_with(&prefix), "{errors}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn the_second_signal_ends_the_gateway_at_once() {
    let redis = Redis::start(&[]).unwrap();
    let file = format!("{FILE}[redis]\nurl = \"redis://127.0.0.1:{}\"\n", redis.port());
    let mut gateway = Gateway::start(&file);
    assert_eq!(gateway.status("/redis"), "working");
    redis.server.pause();
    let address = gateway.address;
    let caller = thread::spawn(move || try_get(address, TOKEN, &[]));
    wait_for("the report to begin", || match gateway.connections(&[redis.port()]) {
        counts if counts == [1] => Ok(()),
        counts => Err(format!("{counts:?}")),
    });
    signal(&gateway, Signal::TERM);
    gateway.wait_for_log("shutting down");
    signal(&gateway, Signal::TERM);
    gateway.wait_for_log("second signal, exiting at once");
    gateway.server.stop();
    assert!(!gateway.log().contains("\"stopped\""), "{}", gateway.log());
    drop(caller.join());
}

#[test]
fn sighup_reloads_and_sigusr1_and_sigusr2_do_nothing() {
    let gateway = Gateway::start(FILE);
    for number in [Signal::USR1, Signal::USR2, Signal::HUP] {
        signal(&gateway, number);
    }
    gateway.wait_for_log("reload requested");
    gateway.report();
}

fn signal(gateway: &Gateway, signal: Signal) {
    let pid = gateway.server.pid().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn errors_set_the_exit_code_if_nothing_can_be_printed() {
    let good = folder(&[("a.toml", FILE)]);
    let (file, missing) = (good.path().join("a.toml"), good.path().join("none"));
    let code = |arguments: &str| {
        let shell = format!("exec {} {arguments}", env!("CARGO_BIN_EXE_health-gateway"));
        Command::new("sh").args(["-c", &shell]).status().unwrap().code()
    };
    let (file, missing) = (file.display(), missing.display());
    assert_eq!(code(&format!("check-config {file} >/dev/full")), Some(2));
    assert_eq!(code(&format!("check-config {missing} 2>/dev/full")), Some(1));
    assert_eq!(code(&format!("serve --config {missing} 2>/dev/full")), Some(2));
    assert_eq!(code(&format!("check-config {file} <&- >&- 2>&-")), Some(0));
}

#[test]
fn a_crash_dumps_no_core() {
    let folder = folder(&[("a.toml", FILE)]);
    let program = env!("CARGO_BIN_EXE_health-gateway");
    let shell =
        format!("ulimit -c unlimited; exec {program} serve --config . --listen 127.0.0.1:0");
    let mut gateway = Command::new("sh")
        .args(["-c", &shell])
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(gateway.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("endpoint opened")));
    kill_process(Pid::from_child(&gateway), Signal::ABORT).unwrap();
    let status = gateway.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}
