//! `health-gateway probe`: its output and its exit codes.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Lines};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use regex_lite::Regex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use stack::celery::{App, Pool};
use stack::postgres::Postgres;
use stack::redis::Redis;
use stack::vault::{ROOT_TOKEN, Vault};
use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};
use tempfile::TempDir;

use crate::running::{FILE, Gateway, TOKEN, date, get, status};

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

/// A file with a check that works, and three that do not: a critical one, a warning, and one during maintenance.
fn file_with_failures(port: u16) -> String {
    let check = |name: &str, port: u16, settings: &str| {
        format!("[\"{name}\"]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:{port}\"\n{settings}\n")
    };
    let maintenance = format!("maintenance_until = {}", date("+1 day"));
    [
        FILE,
        &check("works", port, ""),
        &check("bad|'=", 1, "timeout = \"1500ms\""),
        &check("slow", 1, "severity = \"warning\""),
        &check("moved", 1, &maintenance),
    ]
    .concat()
}

const REFUSED: &str = "connect: connection refused (127.0.0.1:1)";

#[test]
fn the_table_names_warnings_and_maintenance() {
    let redis = Redis::start(&[]).unwrap();
    let folder = folder(&[("tests.toml", &file_with_failures(redis.port()))]);
    let table = printed(folder.path(), &["--color", "never"], 1);
    let time = Regex::new(r" \d\.\d{6}  ").unwrap();
    let statuses: Vec<_> =
        table.lines().skip(1).map(|line| time.splitn(line, 2).nth(1).unwrap()).collect();
    let expected =
        ["working", REFUSED, &format!("warning: {REFUSED}"), &format!("in maintenance: {REFUSED}")];
    assert_eq!(statuses, expected);
}

#[test]
fn the_format_of_nagios_distinguishes_warnings_and_maintenance_from_critical_failures() {
    let redis = Redis::start(&[]).unwrap();
    let folder = folder(&[("tests.toml", &file_with_failures(redis.port()))]);
    let nagios = |only: &str, code| {
        let printed = printed(folder.path(), &["--format", "nagios", "--only", only], code);
        let time = Regex::new(r"=\d\.\d{6}s").unwrap();
        time.replace_all(&printed, "=TIMEs").into_owned()
    };
    assert_eq!(nagios("works", 0), "HEALTH OK - 1 of 1 working | 'works'=TIMEs;;5;0\n");
    assert_eq!(
        nagios("works,moved", 0),
        format!(
            "HEALTH OK - 1 of 2 working, in maintenance: moved | 'works'=TIMEs;;5;0 'moved'=TIMEs;;5;0\n\
             MAINTENANCE: moved {REFUSED}\n"
        )
    );
    assert_eq!(
        nagios("works,slow", 1),
        format!(
            "HEALTH WARNING - 1 of 2: slow {REFUSED} | 'works'=TIMEs;;5;0 'slow'=TIMEs;;5;0\n\
             WARNING: slow {REFUSED}\n"
        )
    );
    let all = nagios("works,slow,bad|'=,moved", 2);
    let lines: Vec<_> = all.lines().collect();
    let (text, times) = lines[0].split_once(" | ").unwrap();
    assert_eq!(
        text,
        format!("HEALTH CRITICAL - 2 of 4: bad/'= {REFUSED}, and slow, in maintenance: moved")
    );
    assert!(times.contains("'bad/''_'=TIMEs;;1.5;0"), "{times}");
    assert_eq!(lines[1], format!("CRITICAL: bad/'= {REFUSED}"));
    assert_eq!(lines.len(), 4);
    let unknown = printed(folder.path(), &["--format", "nagios", "--only", "x|y"], 3);
    assert!(unknown.starts_with("HEALTH UNKNOWN - --only: nothing is called `x/y`"), "{unknown}");
}

#[test]
fn junit_has_a_case_for_each_check_and_skips_those_in_maintenance() {
    let redis = Redis::start(&[]).unwrap();
    let folder = folder(&[("tests.toml", &file_with_failures(redis.port()))]);
    let xml = printed(folder.path(), &["--format", "junit"], 1);
    let counts = "tests=\"4\" failures=\"2\" skipped=\"1\" errors=\"0\"";
    let time = Regex::new(" time=\"\\d\\.\\d{6}\"").unwrap();
    let case = |name: &str, result: &str| {
        format!("<testcase classname=\"tests\" name=\"{name}\">{result}</testcase>\n")
    };
    let expected = [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
        format!("<testsuites name=\"health-gateway\" {counts}>\n"),
        format!("<testsuite name=\"tests\" {counts}>\n"),
        case("works", ""),
        case("bad|'=", &format!("<failure type=\"critical\" message=\"{REFUSED}\"></failure>")),
        case("slow", &format!("<failure type=\"warning\" message=\"{REFUSED}\"></failure>")),
        case("moved", &format!("<skipped message=\"in maintenance: {REFUSED}\"></skipped>")),
        "</testsuite>\n</testsuites>\n".to_owned(),
    ];
    assert_eq!(time.replace_all(&xml, ""), expected.concat());
}

#[test]
fn the_metrics_are_those_of_the_selected_checks() {
    let folder = folder(&[("tests.toml", &file(1))]);
    let metrics = printed(folder.path(), &["--format", "prometheus", "--only", "redis"], 1);
    let labels = "gateway_namespace=\"tests\",component=\"redis\",check=\"redis\"";
    for series in [
        format!("health_gateway_check_up{{{labels},severity=\"critical\"}} 0\n"),
        format!("health_gateway_check_failing{{{labels},step=\"connect\"}} 1\n"),
        format!("health_gateway_check_duration_seconds_count{{{labels}}} 1\n"),
    ] {
        assert!(metrics.contains(&series), "{series} in {metrics}");
    }
    assert!(!metrics.contains("cache"), "{metrics}");
}

#[test]
fn each_step_is_listed_with_its_time() {
    let redis = Redis::start(&[]).unwrap();
    let folder = folder(&[("tests.toml", &file(redis.port()))]);
    let table = printed(folder.path(), &["--verbose", "--only", "redis"], 0);
    let lines: Vec<_> = table.lines().map(without_digits).collect();
    assert_eq!(lines[1], "redis  0.000000  working");
    assert!(lines.contains(&"       0.000000    write".to_owned()), "{table}");
}

/// The standard output and the standard error of a run that has been started, line by line.
fn start(folder: &Path, arguments: &[&str]) -> (Child, Lines<impl BufRead>, Lines<impl BufRead>) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
        .args(["probe", "--config", "."])
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(run.stdout.take().unwrap()).lines();
    let errors = BufReader::new(run.stderr.take().unwrap()).lines();
    (run, out, errors)
}

#[test]
fn a_run_waits_until_every_selected_check_works() {
    let mut redis = Redis::start(&[]).unwrap();
    let file =
        format!("{}[other]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n", file(redis.port()));
    let folder = folder(&[("tests.toml", &file)]);
    redis.server.stop();
    let arguments = ["--wait", "1m", "--only", "redis,cache", "--format", "nagios"];
    let (mut run, mut out, mut errors) = start(folder.path(), &arguments);
    assert_eq!(errors.next().unwrap().unwrap(), "waiting for cache.data, cache.pages, redis");
    redis.server.restart().unwrap();
    assert!(out.next().unwrap().unwrap().starts_with("HEALTH OK - 3 of 3 working | "));
    assert_eq!(run.wait().unwrap().code(), Some(0));

    let output = probe(folder.path(), &["--wait", "1s"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "waiting for other\n");
    assert!(String::from_utf8(output.stdout).unwrap().contains(REFUSED));
}

#[test]
fn steps_that_took_longer_than_the_report_are_those_of_the_last_complete_run() {
    // The kernel accepts connections, and nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!("{FILE}timeout = \"500ms\"\noverdue_wait = \"1ms\"\n");
    let file = file(silent.local_addr().unwrap().port()).replace(FILE, &settings);
    let folder = folder(&[("tests.toml", &file)]);
    let arguments = ["--watch=1s", "--verbose", "--only", "redis"];
    let (mut run, out, _errors) = start(folder.path(), &arguments);
    let mut lines = out.map(|line| line.unwrap());
    for expected in ["    handshake", "    handshake (of the last complete run)"] {
        let table: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        assert!(table.last().unwrap().ends_with(expected), "{table:?}");
    }
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    run.wait().unwrap();
}

#[test]
fn a_watch_ends_when_its_output_is_closed() {
    let folder = folder(&[("tests.toml", &file(1))]);
    let (mut run, mut out, mut errors) =
        start(folder.path(), &["--watch=1s", "--only", "redis", "--json"]);
    for _ in 0..2 {
        let report: Value = serde_json::from_str(&out.next().unwrap().unwrap()).unwrap();
        assert_eq!(status(&report, "/redis"), REFUSED);
    }
    drop(out);
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert!(errors.next().is_none(), "a closed output is no error");
}

#[test]
fn an_output_that_is_not_read_does_not_delay_a_signal() {
    // The output of so many checks exceeds the buffer of a pipe.
    let checks = (0..2000).map(|at| format!("a{at} = \"redis://127.0.0.1:1/{at}\"\n"));
    let folder =
        folder(&[("tests.toml", &format!("{FILE}[cache]\n{}", checks.collect::<String>()))]);
    let (mut run, mut out, _errors) = start(folder.path(), &["--watch"]);
    // The first line is written together with all others that fit into the pipe.
    out.next().unwrap().unwrap();
    kill_process(Pid::from_child(&run), Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
}

#[test]
fn a_table_on_a_terminal_fits_and_is_coloured() {
    let alias = "pages_of_the_application = \"redis://127.0.0.1:1/3\"";
    let folder =
        folder(&[("tests.toml", &file(1).replace("[cache]", &format!("[cache]\n{alias}")))]);
    let binary = env!("CARGO_BIN_EXE_health-gateway");
    let command = format!(
        "stty cols 40 rows 6; exec setpriv --pdeathsig TERM {binary} probe --config . --watch"
    );
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    terminal.env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
    let mut run = terminal.current_dir(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let lines: Vec<_> = lines.take(5).map(|line| line.unwrap()).collect();
    let lines: Vec<_> = lines.iter().map(|line| without_digits(line.trim_end())).collect();
    assert_eq!(
        lines,
        [
            "\u{1b}[0J\u{1b}[Hcheck                  seconds  \u{1b}[0mstatus\u{1b}[0m",
            "cache.pages_of_the_…  0.000000  \u{1b}[00mconnect…\u{1b}[0m",
            "cache.data            0.000000  \u{1b}[00mconnect…\u{1b}[0m",
            "cache.pages           0.000000  \u{1b}[00mconnect…\u{1b}[0m",
            "... and 0 more line",
        ]
    );
    kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
    run.wait().unwrap();
}

#[test]
fn a_wrong_option_is_one_line_that_states_what_is_expected() {
    let folder = folder(&[("tests.toml", &file(1))]);
    for (arguments, expected) in [
        (&["--format", "xml"][..], "[possible values: table, json, junit, nagios, prometheus]"),
        (&["--color=red"], "[possible values: auto, always, never]"),
        (&["--watch=1"], "expected a duration such as `250ms`, `3s`, `5m` or `1h`"),
        (&["--watch=10ms"], "expected an interval of at least `1s`"),
        (&["--wait", "soon"], "expected a duration such as `250ms`, `3s`, `5m` or `1h`"),
        (&["--watch", "--wait", "1m"], "cannot be used with"),
        (&["--json", "--format", "table"], "cannot be used with"),
        (
            &["--watch", "--format", "junit"],
            "--watch: expected `--format table` or `--format json`",
        ),
        (&["--verbose", "--json"], "--verbose: expected `--format table`"),
        (&["--verbos"], "unexpected argument '--verbos' found, see `--help`"),
        (&["--wait\u{1b}[2J"], "unexpected argument '--wait\\u{1b}[2J' found"),
    ] {
        let error = rejected(folder.path(), arguments);
        assert!(error.contains(expected) && error.lines().count() == 1, "{arguments:?}: {error}");
    }
    for wrong in [&["--wait", "soon"][..], &["--watch"]] {
        let output = probe(folder.path(), &[&["--format", "nagios"], wrong].concat());
        assert_eq!(output.status.code(), Some(3), "{wrong:?}");
    }
}

#[test]
fn a_comma_in_a_name_is_escaped() {
    let redis = Redis::start(&[]).unwrap();
    let file = format!("{}\"a,b\" = \"redis://127.0.0.1:{}\"\n", file(redis.port()), redis.port());
    let folder = folder(&[("tests.toml", &file)]);
    let table = printed(folder.path(), &["--only", r"cache.a\,b,redis"], 0);
    let names: Vec<_> = table.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["cache.a,b", "redis"]);
    let error = rejected(folder.path(), &["--only", "cache.a,b"]);
    assert!(error.starts_with("--only: nothing is called `cache.a`, `b`, "), "{error}");
    assert!(error.contains(r"`cache.a\,b`"), "{error}");
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
    for (arguments, signal, code, bound) in [
        (&["--wait", "1m"][..], Signal::TERM, Some(143), "0"),
        (&["--watch"], Signal::INT, Some(130), "0"),
        (&[], Signal::HUP, Some(129), "0"),
        (&[], Signal::KILL, None, "1"),
    ] {
        let mut run = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
            .args(["probe", "--config", "."])
            .args(arguments)
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
        // The test deletes the list instead of waiting until it expires.
        on_broker(&redis, &["DEL", list]);
    }
    worker.server.resume();
    printed(folder.path(), &[], 0);
    assert_eq!(keys(), before);
}

#[test]
fn a_password_from_a_reference_may_have_any_character_in_a_url() {
    let server = Postgres::start(&[]).unwrap();
    let password = "+a b%25&c#d=e/f?g@h:ü";
    let sql = format!("ALTER ROLE {HEALTH_USER} PASSWORD '{password}'");
    server.sql("postgres", &sql).unwrap();
    let at = format!("127.0.0.1:{}/{POSTGRES_DATABASE}", server.port());
    let parameters = format!("{at}?user={HEALTH_USER}&password=${{file:password}}");
    let urls = [
        format!("postgres://{HEALTH_USER}:${{file:password}}@{at}"),
        format!("postgres://{parameters}"),
        format!("postgresql+psycopg2://{parameters}"),
        format!("jdbc:postgresql://{parameters}&ApplicationName=app"),
    ];
    for url in urls {
        let file = format!("{FILE}[postgres]\nurl = \"{url}\"\n");
        printed(folder(&[("tests.toml", &file), ("password", password)]).path(), &[], 0);
    }
}

#[test]
fn a_commit_that_hangs_is_cancelled_and_one_that_is_not_proven_is_a_warning() {
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

    server.configure(&["synchronous_standby_names = ''"]).unwrap();
    let revoke = format!("REVOKE TEMPORARY ON DATABASE {POSTGRES_DATABASE} FROM {HEALTH_USER}");
    server.sql("postgres", &revoke).unwrap();
    server.forbid_messages(POSTGRES_DATABASE).unwrap();
    for (arguments, warnings) in [(&[][..], 0), (&["--verbose"], 1)] {
        let output = probe(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0));
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(errors.lines().count(), warnings, "{errors}");
        assert_eq!(errors.matches("commits not proven").count(), warnings, "{errors}");
    }
}
