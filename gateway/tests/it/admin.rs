//! The gateway's own health, on a second listener and independent of the backends.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use serde_json::{Value, json};
use stack::redis::Redis;

use crate::running::{FILE, Gateway, Response, TOKEN, receive, send, status, wait_for};

/// A gateway, and the address of its second listener.
fn start(file: &str) -> (Gateway, SocketAddr) {
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port().unwrap()));
    let arguments = ["--health-listen", &own.to_string()];
    (Gateway::start_with_arguments(&[("tests.toml", file)], &arguments), own)
}

fn get(own: SocketAddr, path: &str) -> Response {
    receive(send(own, "GET", path, &[]).expect("it listens")).expect("a complete response")
}

/// Returns the status and the header `Allow` of a response.
fn head(own: SocketAddr, method: &str, path: &str) -> (u16, Option<String>) {
    let mut text = String::new();
    send(own, method, path, &[]).expect("it listens").read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a complete head");
    assert_eq!(body.is_empty(), method == "HEAD", "{text}");
    let allow = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("allow").then(|| value.to_owned())
    });
    (head.split(' ').nth(1).unwrap().parse().unwrap(), allow)
}

#[test]
fn a_gateway_is_alive_and_ready_when_all_its_backends_are_down() {
    let (gateway, own) = start(&format!("{FILE}[redis]\nurl = \"redis://127.0.0.1:1\"\n"));
    assert!(gateway.status("/redis").starts_with("connect: "));
    for (path, body) in
        [("/livez", "working\n"), ("/readyz", "ready\n"), ("/readyz?verbose", "ready\n")]
    {
        let answer = get(own, path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[test]
fn the_version_is_that_of_the_command_line() {
    let (_gateway, own) = start(FILE);
    let answer = get(own, "/version");
    assert_eq!((answer.status, answer.headers["content-type"].as_str()), (200, "application/json"));
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_health-gateway")).arg("--version").output();
    let printed = String::from_utf8(output.unwrap().stdout).unwrap();
    let version = printed.trim().rsplit(' ').next().unwrap();
    assert_eq!(body, json!({"name": "health-gateway", "version": version}));
}

#[test]
fn the_tasks_are_those_of_the_endpoint() {
    let (gateway, own) = start(FILE);
    let expect = |what, expected: fn(&usize) -> bool| {
        wait_for(what, || {
            let tasks: usize = get(own, "/tasks").body.trim().parse().unwrap();
            if expected(&tasks) { Ok(()) } else { Err(tasks.to_string()) }
        });
    };
    let connections: Vec<_> = (0..100).map(|_| TcpStream::connect(gateway.address)).collect();
    expect("a task for each connection", |tasks| *tasks >= 100);
    drop(connections);
    // The tasks of the gateway itself remain.
    expect("their end", |tasks| *tasks < 50);
}

#[test]
fn other_paths_are_not_found_and_other_methods_not_allowed() {
    let (gateway, own) = start(FILE);
    for path in ["/livez", "/readyz", "/tasks", "/version", "/metrics"] {
        assert_eq!(head(own, "HEAD", path), (200, None), "{path}");
        assert_eq!(head(own, "POST", path), (405, Some("GET, HEAD".to_owned())), "{path}");
    }
    let report = format!("/api/health/{TOKEN}/");
    for path in ["/", "/livez/", "/healthz", &report] {
        assert_eq!(head(own, "GET", path), (404, None), "{path}");
        assert_eq!(head(own, "POST", path), (404, None), "{path}");
    }
    // The endpoint has none of these paths.
    assert_eq!(head(gateway.address, "GET", "/livez"), (404, None));
}

#[test]
fn a_draining_gateway_is_alive_and_not_ready() {
    let redis = Redis::start(&[]).unwrap();
    let section = format!("[redis]\nurl = \"redis://127.0.0.1:{}\"\n", redis.port());
    let (mut gateway, own) = start(&format!("{FILE}timeout = \"8s\"\n{section}"));
    assert_eq!(gateway.status("/redis"), "working");
    redis.server.pause();
    let caller = send(gateway.address, "GET", &format!("/api/health/{TOKEN}/"), &[]).unwrap();
    assert_eq!(get(own, "/readyz").status, 200);
    gateway.server.terminate();
    let answer = wait_for("draining", || match get(own, "/readyz") {
        answer if answer.status == 503 => Ok(answer),
        answer => Err(format!("{answer:?}")),
    });
    assert_eq!(answer.body, "draining: shutting down, finishing the requests in progress\n");
    assert_eq!(get(own, "/livez").status, 200);
    redis.server.resume();
    let answer = receive(caller).expect("a complete response");
    assert_eq!(status(&serde_json::from_str(&answer.body).unwrap(), "/redis"), "working");
    gateway.server.stop();
    assert!(send(own, "GET", "/livez", &[]).is_none(), "the process has ended");
    assert!(gateway.log().contains("stopped"), "{}", gateway.log());
}

/// Returns what `health-gateway healthcheck` prints to standard error, and its exit code.
fn healthcheck(own: SocketAddr) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
        .arg("healthcheck")
        .env("HEALTH_GATEWAY_HEALTH_LISTEN", own.to_string())
        .output()
        .unwrap();
    assert!(output.stdout.is_empty());
    (String::from_utf8(output.stderr).unwrap(), output.status.code())
}

#[test]
fn a_healthcheck_passes_while_the_gateway_serves() {
    let (mut gateway, own) = start(&format!("{FILE}[redis]\nurl = \"redis://127.0.0.1:1\"\n"));
    assert!(gateway.status("/redis").starts_with("connect: "), "a backend is down");
    assert_eq!(healthcheck(own), (String::new(), Some(0)));
    // A container listens on all addresses, and its health check uses the same setting.
    let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, own.port()));
    assert_eq!(healthcheck(all), (String::new(), Some(0)));
    gateway.server.pause();
    let silent = format!("no answer from {own} within 2 s\n");
    assert_eq!(healthcheck(own), (silent, Some(1)));
    gateway.server.resume();
    gateway.server.stop();
    let refused = format!("no answer from {own}: connection refused\n");
    assert_eq!(healthcheck(own), (refused, Some(1)));
}

#[test]
fn a_healthcheck_fails_for_another_server() {
    // The endpoint has no `/livez`.
    let (gateway, _own) = start(FILE);
    let address = gateway.address;
    let other = format!("{address} answers /livez with 404\n");
    assert_eq!(healthcheck(address), (other, Some(1)));
}

#[test]
fn an_address_in_use_prevents_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tests.toml");
    std::fs::write(&file, FILE).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .args(["--health-listen", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message, format!("cannot listen on {address}: address already in use\n"));
}
