//! `health-gateway probe`: its output and its exit codes.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stack::celery::{App, Pool};
use stack::postgres::Postgres;
use stack::redis::Redis;
use stack::vault::{ROOT_TOKEN, Vault};
use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};
use tempfile::TempDir;

use crate::running::{FILE, Gateway, TOKEN, get, status};

/// A component with a single check, and a group, on the same server.
fn file(port: u16) -> String {
    format!(
        "{FILE}[redis]\nurl = \"redis://127.0.0.1:{port}\"\n[cache]\n\
         data = \"redis://127.0.0.1:{port}/1\"\npages = \"redis://127.0.0.1:{port}/2\"\n"
    )
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn probe(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_health-gateway"))
        .args(["probe", "--config", "."])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The output of a run that exits with `code` and prints no error.
fn printed(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = probe(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), errors.as_str()), (Some(code), ""), "{printed}");
    printed
}

/// The error of a command that runs no check.
fn rejected(folder: &Path, arguments: &[&str]) -> String {
    let output = probe(folder, arguments);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    String::from_utf8(output.stderr).unwrap()
}

/// Replaces each digit by 0, so that texts with different times are equal.
fn without_digits(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[test]
fn every_check_has_a_line_in_the_table() {
    let redis = Redis::start(&[]).unwrap();
    let folder = folder(&[("tests.toml", &file(redis.port()))]);
    let table = printed(folder.path(), &[], 0);
    let expected = "check         seconds  status\n\
                    cache.data   0.000000  working\n\
                    cache.pages  0.000000  working\n\
                    redis        0.000000  working\n";
    assert_eq!(without_digits(&table), expected);
}

#[test]
fn a_failed_check_fails_the_run() {
    let folder = folder(&[("tests.toml", &file(1))]);
    let table = printed(folder.path(), &["--only", "redis"], 1);
    let status = table.trim_end().rsplit("  ").next().unwrap();
    assert_eq!(status, "connect: connection refused (127.0.0.1:1)");
}

#[test]
fn the_json_is_that_of_the_endpoint() {
    let redis = Redis::start(&[]).unwrap();
    let file =
        format!("{}[other]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n", file(redis.port()));
    let gateway = Gateway::start(&file);
    let folder = folder(&[("tests.toml", &file)]);
    let printed = printed(folder.path(), &["--json"], 1);
    let answer = get(gateway.address, TOKEN, &[]);
    assert_eq!(without_digits(&printed), without_digits(&answer.body) + "\n");
}

#[test]
fn several_namespaces_are_reported_by_name() {
    let redis = Redis::start(&[]).unwrap();
    let port = redis.port();
    let one = format!(
        "namespace = \"one\"\naccess_token = \"1\"\n[redis]\nurl = \"redis://127.0.0.1:{port}\"\n"
    );
    let two = format!(
        "namespace = \"two\"\naccess_token = \"2\"\n[cache]\ndata = \"redis://127.0.0.1:{port}\"\n"
    );
    let folder = folder(&[("1.toml", &one), ("2.toml", &two)]);
    let table = printed(folder.path(), &[], 0);
    let expected = "namespace  check        seconds  status\n\
                    one        redis       0.000000  working\n\
                    two        cache.data  0.000000  working\n";
    assert_eq!(without_digits(&table), expected);
    let report: Value = serde_json::from_str(&printed(folder.path(), &["--json"], 0)).unwrap();
    assert_eq!(status(&report, "/one/redis"), "working");
    assert_eq!(status(&report, "/two/cache/data"), "working");
    // A namespace without a selected check is omitted, and the format stays the same.
    let report = printed(folder.path(), &["--json", "--only", "cache"], 0);
    let expected = r#"{"two":{"cache":{"data":{"status":"working","response_time":"0.000000"}}}}"#;
    assert_eq!(without_digits(&report).trim_end(), expected);
}

#[test]
fn only_the_selected_checks_run() {
    let (redis, other) = (Redis::start(&[]).unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let silent = other.local_addr().unwrap();
    let file =
        format!("{}[redis2]\nkind = \"redis\"\nurl = \"redis://{silent}\"\n", file(redis.port()));
    let folder = folder(&[("tests.toml", &file)]);
    let names = |only: &str| -> Vec<String> {
        let table = printed(folder.path(), &["--only", only], 0);
        table.lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names("redis,cache.pages"), ["cache.pages", "redis"]);
    assert_eq!(names("cache"), ["cache.data", "cache.pages"]);
    assert_eq!(names("cache,cache.data"), ["cache.data", "cache.pages"]);
    other.set_nonblocking(true).unwrap();
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "it was contacted");
}

#[test]
fn an_unknown_name_is_an_error() {
    let folder = folder(&[("tests.toml", &file(1))]);
    assert_eq!(
        rejected(folder.path(), &["--only", "redis,cache.date,data"]),
        "--only: nothing is called `cache.date`, `data`, \
         expected one of `cache`, `cache.data`, `cache.pages`, `redis`\n"
    );
}

#[test]
fn an_invalid_configuration_is_reported_as_by_serve() {
    let folder = folder(&[("tests.toml", "namespace = \"a\"\naccess_token = \"t\"\ncolour = 1\n")]);
    let errors = rejected(folder.path(), &[]);
    assert!(
        errors.starts_with("./tests.toml:3: unknown key `colour`, expected one of"),
        "{errors}"
    );
    let served = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config", "."])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(served.stderr).unwrap(), errors);
}

#[test]
fn secrets_are_read_from_vault_before_the_run() {
    let redis = Redis::start(&["requirepass some-password"]).unwrap();
    let mut vault = Vault::start().unwrap();
    let secret = json!({"data": {"password": "some-password"}});
    vault.api("POST", "secret/data/tests/redis", &secret).unwrap();
    // No access token is needed.
    let file = format!(
        "namespace = \"tests\"\n[vault]\nurl = \"http://127.0.0.1:{}\"\ntoken = \"{ROOT_TOKEN}\"\n\
         [redis]\nurl = \"redis://:${{vault:secret/tests/redis#password}}@127.0.0.1:{}\"\n",
        vault.port(),
        redis.port()
    );
    let folder = folder(&[("tests.toml", &file)]);
    let report: Value = serde_json::from_str(&printed(folder.path(), &["--json"], 0)).unwrap();
    assert_eq!(status(&report, "/redis"), "working");
    vault.server.stop();
    let report: Value = serde_json::from_str(&printed(folder.path(), &["--json"], 1)).unwrap();
    assert_eq!(
        status(&report, "/redis"),
        "read secret: connect: connection refused (vault:secret/tests/redis#password)"
    );
}

/// Runs a command on the broker's database 1.
fn on_broker(redis: &Redis, command: &[&str]) -> String {
    redis.command(&[&["-n", "1"], command].concat()).unwrap()
}

#[test]
fn runs_that_are_stopped_or_killed_leave_nothing_on_a_broker() {
    let redis = Redis::start(&[]).unwrap();
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let app = App::new(&format!("{url}/1"), &format!("{url}/2")).unwrap();
    let worker = app.worker("w1", Pool::Prefork, &["high_priority"]).unwrap();
    let file = format!(
        "{FILE}[celery]\nbroker = \"{url}/1\"\nresult_backend = \"{url}/2\"\ncanary = true\nqueues = [\"high_priority\"]\n"
    );
    let folder = folder(&[("tests.toml", &file)]);
    printed(folder.path(), &[], 0);
    let keys = || {
        let mut keys: Vec<_> =
            on_broker(&redis, &["KEYS", "*"]).lines().map(str::to_owned).collect();
        keys.sort();
        keys
    };
    let before = keys();
    // Without replies, every run is stopped or killed while it waits for them.
    worker.server.pause();
    let table = "_kombu.binding.reply.celery.pidbox";
    for (signal, code, bound) in
        [(Signal::TERM, Some(143), "0"), (Signal::INT, Some(130), "0"), (Signal::KILL, None, "1")]
    {
        let mut run = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
            .args(["probe", "--config", "."])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        redis.wait_for(&["-n", "1", "SCARD", table], "1").unwrap();
        kill_process(Pid::from_child(&run), signal).unwrap();
        assert_eq!(run.wait().unwrap().code(), code);
        assert_eq!(on_broker(&redis, &["SCARD", table]), bound, "{signal:?}");
    }
    let lists = on_broker(&redis, &["KEYS", "health-gateway.*"]);
    for list in lists.lines() {
        let lifetime: i64 = on_broker(&redis, &["PTTL", list]).parse().unwrap();
        assert!((0..=60_000).contains(&lifetime), "{list} expires in {lifetime} ms");
        // Instead of waiting for its expiry.
        on_broker(&redis, &["DEL", list]);
    }
    worker.server.resume();
    printed(folder.path(), &[], 0);
    assert_eq!(keys(), before);
}

#[test]
fn a_commit_that_hangs_is_cancelled_before_the_process_exits() {
    let mut server = Postgres::start(&[]).unwrap();
    server.configure(&["synchronous_standby_names = 'lost'"]).unwrap();
    let port = server.port();
    let file = format!(
        "{FILE}[postgres]\ntimeout = \"1s\"\n\
         url = \"postgres://{HEALTH_USER}:{HEALTH_PASSWORD}@127.0.0.1:{port}/{POSTGRES_DATABASE}\"\n"
    );
    let folder = folder(&[("tests.toml", &file)]);
    let expected = "commit: no answer within 1s (waits for a synchronous standby)";
    let table = printed(folder.path(), &[], 1);
    assert!(table.contains(expected), "{table}");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    assert_eq!(server.sql("postgres", waiting).unwrap(), "0");
}
