//! A fleet of gateways that share results through a real Redis.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use probe_testkit::FaultProxy;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use stack::redis::Redis;
use stack::vault::{ROOT_TOKEN, Vault};

use crate::running::{Gateway, TOKEN, get, receive, send, wait_for};

/// A gateway that shares the check of a Redis at `port`, with results that never expire during a test.
fn file(store: u16, port: u16) -> String {
    let top = format!("namespace = \"tests\"\naccess_token = \"{TOKEN}\"\nmax_age = \"1h\"\n");
    let check = format!("[redis]\nurl = \"redis://127.0.0.1:{port}\"\nshare = true\n");
    format!("{top}timeout = \"1h\"\n{check}[share]\nstore = \"redis://127.0.0.1:{store}\"\n")
}

fn signal(gateway: &Gateway, signal: Signal) {
    let pid = gateway.server.pid().and_then(Pid::from_raw).expect("it runs");
    kill_process(pid, signal).unwrap();
}

/// Requests a report without awaiting the answer.
fn request(gateway: &Gateway) -> TcpStream {
    send(gateway.address, "GET", &format!("/api/health/{TOKEN}/"), &[]).expect("a connection")
}

/// A proxy in front of the store.
fn proxy(store: &Redis) -> FaultProxy {
    FaultProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, store.port())))
}

/// How many runs the backend has seen.
fn runs(backend: &Redis) -> u32 {
    let calls = backend.command(&["INFO", "commandstats"]).unwrap();
    let after = calls.split("cmdstat_set:calls=").nth(1);
    after.and_then(|rest| rest.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

/// A server that accepts connections and stays silent.
fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn one_gateway_of_a_fleet_asks_the_backend_and_the_others_have_no_connection_to_it() {
    let (store, mut backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let file = file(store.port(), backend.port());
    let fleet = [(); 3].map(|()| Gateway::start(&file));
    for gateway in &fleet {
        assert_eq!(gateway.status("/redis"), "working");
        gateway.wait_for_log("share store available");
    }
    let calls = backend.command(&["INFO", "commandstats"]).unwrap();
    assert!(calls.contains("cmdstat_set:calls=1,"), "{calls}");
    let connections = || fleet.each_ref().map(|gateway| gateway.connections(&[backend.port()])[0]);
    assert_eq!(connections(), [1, 0, 0]);
    // What one gateway is asked to run is not sent to the others.
    let channels = store.command(&["PUBSUB", "CHANNELS"]).unwrap();
    assert_eq!(channels.lines().count(), 1 + fleet.len(), "{channels}");
    backend.server.stop();
    let fresh = fleet[0].report_with(TOKEN, &["Cache-Control: no-cache"]);
    let refused = format!("(127.0.0.1:{})", backend.port());
    let own = format!("connect: connection refused {refused}");
    assert_eq!(crate::running::status(&fresh, "/redis"), own);
    for other in &fleet[1..] {
        other.wait_for_status("/redis", "connect: connection refused, seen by ");
        assert!(other.status("/redis").ends_with(&refused));
        other.wait_for_log("\"shared\":true");
    }
    assert!(!fleet[0].log().contains("\"shared\":true"));
}

#[test]
fn the_run_of_a_gateway_that_was_killed_is_taken_over() {
    let store = Redis::start(&[]).unwrap();
    let (backend, port) = silent();
    let [killed, other] = [(); 2].map(|()| Gateway::start(&file(store.port(), port)));
    let _first = request(&killed);
    let (_held, _) = backend.accept().unwrap();
    let _second = request(&other);
    signal(&killed, Signal::KILL);
    // The check itself has a timeout of an hour.
    let (_taken_over, _) = backend.accept().unwrap();
    assert_eq!(other.connections(&[port]), [1]);
}

#[test]
fn the_late_result_of_a_gateway_that_was_paused_is_refused() {
    let store = Redis::start(&[]).unwrap();
    let (backend, port) = silent();
    let [paused, other] = [(); 2].map(|()| Gateway::start(&file(store.port(), port)));
    let _first = request(&paused);
    let (held, _) = backend.accept().unwrap();
    signal(&paused, Signal::STOP);
    let _second = request(&other);
    let (_taken_over, _) = backend.accept().unwrap();
    drop(held);
    signal(&paused, Signal::CONT);
    paused.wait_for_log("shared result refused, its lease had ended");
    assert!(!other.log().contains("check failed"), "{}", other.log());
}

#[test]
fn a_gateway_that_was_paused_for_longer_than_the_timeout_reports_no_timeout() {
    let (store, backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let timeout = Duration::from_secs(3);
    let file = file(store.port(), backend.port()).replace("timeout = \"1h\"", "timeout = \"3s\"");
    let [paused, other] = [(); 2].map(|()| Gateway::start(&file));
    paused.wait_for_log("share store available");
    backend.server.pause();
    let answer = request(&paused);
    wait_for("the run", || match paused.connections(&[backend.port()])[0] {
        0 => Err(paused.log()),
        _ => Ok(()),
    });
    signal(&paused, Signal::STOP);
    let stopped = Instant::now();
    backend.server.resume();
    // The other gateway takes the run over.
    assert_eq!(other.status("/redis"), "working");
    std::thread::sleep((timeout + Duration::from_secs(1)).saturating_sub(stopped.elapsed()));
    signal(&paused, Signal::CONT);
    let report = serde_json::from_str(&receive(answer).unwrap().body).unwrap();
    assert_eq!(crate::running::status(&report, "/redis"), "working");
    paused.wait_for_log("shared result refused, its lease had ended");
    assert_eq!(paused.status("/redis"), "working");
    assert!(!paused.log().contains("check failed"), "{}", paused.log());
}

#[test]
fn a_probe_runs_every_check_without_the_store() {
    let (store, port) = silent();
    store.set_nonblocking(true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tests.toml");
    std::fs::write(&config, file(port, 1)).unwrap();
    let mut probe = Command::new(env!("CARGO_BIN_EXE_health-gateway"));
    let output = probe.args(["probe", "--format", "json", "--config"]).arg(&config).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(text.contains("connect: connection refused (127.0.0.1:1)"), "{text}");
    assert_eq!(store.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_silent_store_delays_no_start_and_is_used_when_it_answers() {
    let (store, backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    store.server.pause();
    let gateway = Gateway::start(&file(store.port(), backend.port()));
    assert_eq!(gateway.status("/redis"), "working");
    gateway.wait_for_log("share store unavailable");
    store.server.resume();
    gateway.wait_for_log("share store available");
    gateway.report_with(TOKEN, &["Cache-Control: no-cache"]);
    wait_for("the result in the store", || {
        let keys = store.command(&["KEYS", "health-gateway:tests:redis:*"]).unwrap();
        if keys.is_empty() { Err(keys) } else { Ok(()) }
    });
}

#[test]
fn the_reply_of_a_store_that_refuses_the_password_is_logged() {
    let settings = ["requirepass right-password"];
    let (store, backend) = (Redis::start(&settings).unwrap(), Redis::start(&[]).unwrap());
    let file = file(store.port(), backend.port());
    let at = format!("127.0.0.1:{}", store.port());
    let gateway = Gateway::start(&file.replace(&at, &format!(":wrong-password@{at}")));
    gateway.wait_for_log(&format!(
        "authenticate: WRONGPASS invalid username-password pair or user is disabled ({at})"
    ));
    let log = gateway.log();
    assert!(!log.contains("wrong-password"), "{log}");
    assert_eq!(gateway.status("/redis"), "working");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_always_answers_too_late_is_not_used() {
    let (store, backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let proxy = proxy(&store);
    // In each direction.
    proxy.delay(Duration::from_millis(75));
    let gateway = Gateway::start(&file(proxy.address().port(), backend.port()));
    gateway.wait_for_log("share store unavailable");
    // Each attempt has two connections.
    proxy.wait_until("three attempts", |counts| counts.accepted >= 6).await;
    for runs_before in 0..5 {
        assert_eq!(runs(&backend), runs_before);
        gateway.report_with(TOKEN, &["Cache-Control: no-cache"]);
    }
    let log = gateway.log();
    assert_eq!(log.matches("share store unavailable").count(), 1, "{log}");
    assert!(!log.contains("share store available"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_connections_that_open_slowly_stays_available() {
    let (store, backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let proxy = proxy(&store);
    proxy.delay_opening(Duration::from_millis(200));
    let file = file(proxy.address().port(), backend.port()) + "reconnect = \"3s\"\n";
    let gateway = Gateway::start(&file);
    gateway.wait_for_log("share store available");
    let opened = |count: usize| proxy.counts().accepted >= count;
    // The subscription and the connection for requests, which is renewed once without and once with requests.
    wait_for("a renewal", || opened(3).then_some(()).ok_or(gateway.log()));
    wait_for("another renewal", || {
        gateway.report_with(TOKEN, &["Cache-Control: no-cache"]);
        opened(5).then_some(()).ok_or(gateway.log())
    });
    let log = gateway.log();
    assert!(!log.contains("share store unavailable"), "{log}");
}

#[test]
fn idle_gateways_close_their_connections_once_the_store_answers_again() {
    let (store, backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let file = file(store.port(), backend.port());
    let file = file.replace("share = true", "share = true\nreconnect = \"500ms\"");
    let fleet = [(); 3].map(|()| Gateway::start(&file));
    let connections = || fleet.each_ref().map(|gateway| gateway.connections(&[backend.port()])[0]);
    let ask = |gateway: &Gateway| gateway.report_with(TOKEN, &["Cache-Control: no-cache"]);
    for gateway in &fleet {
        gateway.wait_for_log("share store available");
    }
    store.server.pause();
    // Each runs the check by itself.
    for gateway in &fleet {
        ask(gateway);
    }
    assert_eq!(runs(&backend), 3);
    store.server.resume();
    let uses = |gateway: &Gateway| gateway.log().matches("share store available").count();
    for gateway in &fleet {
        wait_for("the store", || if uses(gateway) > 1 { Ok(()) } else { Err(gateway.log()) });
    }
    wait_for("one connection", || {
        ask(&fleet[0]);
        let connections = connections();
        if connections.iter().sum::<usize>() == 1 {
            Ok(())
        } else {
            Err(format!("{connections:?}"))
        }
    });
}

#[test]
fn gateways_with_clocks_minutes_apart_share_results_with_their_age() {
    let (store, mut backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let file = file(store.port(), backend.port());
    let folder = tempfile::tempdir().unwrap();
    let start = |clock: &str| {
        let offset = folder.path().join(clock);
        std::fs::write(&offset, clock).unwrap();
        let variables = stack::faketime::variables(&offset).unwrap();
        let mut command = vec!["env"];
        command.extend(variables.iter().map(String::as_str));
        command.push(env!("CARGO_BIN_EXE_health-gateway"));
        Gateway::start_by(&[("tests.toml", &file)], &command, &[])
    };
    let fleet = ["-10m", "+10m", "+0"].map(start);
    let dates = fleet.each_ref().map(|gateway| {
        gateway.wait_for_log("share store available");
        assert_eq!(gateway.status("/redis"), "working");
        let headers = get(gateway.address, TOKEN, &[]).headers;
        assert!(headers["age"].parse::<u64>().unwrap() < 60, "{headers:?}");
        headers["date"].clone()
    });
    assert!(dates[0] != dates[1] && dates[1] != dates[2], "{dates:?}");
    assert_eq!(runs(&backend), 1);
    backend.server.stop();
    fleet[1].report_with(TOKEN, &["Cache-Control: no-cache"]);
    for gateway in &fleet {
        gateway.wait_for_status("/redis", "connect: connection refused");
        let headers = get(gateway.address, TOKEN, &[]).headers;
        assert!(headers["age"].parse::<u64>().unwrap() < 60, "{headers:?}");
    }
}

#[test]
fn a_rolling_update_of_the_settings_has_two_groups_until_its_end() {
    let (store, backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let file = file(store.port(), backend.port());
    let fleet = [(); 3].map(|()| Gateway::start(&file));
    for gateway in &fleet {
        gateway.wait_for_log("share store available");
        assert_eq!(gateway.status("/redis"), "working");
    }
    assert_eq!(runs(&backend), 1);
    let changed = file.replace("timeout = \"1h\"", "timeout = \"2h\"");
    for updated in 1..=fleet.len() {
        let gateway = &fleet[updated - 1];
        gateway.write("tests.toml", &changed);
        gateway.wait_for_log("config reloaded");
        // The first one of the new group runs the check; the others have its result, or still the old one.
        for gateway in &fleet {
            assert_eq!(gateway.status("/redis"), "working");
        }
        assert_eq!(runs(&backend), 2, "{updated} updated");
    }
}

#[test]
fn a_caller_does_not_wait_for_the_delayed_login_of_a_replica() {
    let (store, backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let vault = Vault::start().unwrap();
    let secret = json!({"data": {"access_token": TOKEN}});
    vault.api("POST", "secret/data/tests/health", &secret).unwrap();
    let section =
        format!("[vault]\nurl = \"http://127.0.0.1:{}\"\ntoken = \"{ROOT_TOKEN}\"\n", vault.port());
    let file = without_token(&file(store.port(), backend.port())) + &section;
    // A request with a token that is not known is refused after 3 of the 5 seconds.
    for _ in 0..8 {
        assert_eq!(Gateway::start(&file).status("/redis"), "working");
    }
}

/// A file with its access token in Vault, as by default.
fn without_token(file: &str) -> String {
    file.replace(&format!("access_token = \"{TOKEN}\"\n"), "")
}

mod slow {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread::{scope, sleep};

    use crate::running::status;

    use super::*;

    const MAX_AGE: Duration = Duration::from_secs(1);

    #[test]
    fn a_fleet_asks_its_backend_as_often_as_one_gateway() {
        let (store, backend) = (Redis::start(&[]).unwrap(), Redis::start(&[]).unwrap());
        let file = file(store.port(), backend.port()).replace("\"1h\"", "\"1s\"");
        let fleet = [(); 30].map(|()| Gateway::start(&file));
        for gateway in &fleet {
            gateway.wait_for_log("share store available");
        }
        let is_over = AtomicBool::new(false);
        let ask = |gateway: &Gateway| {
            let mut answers = 0;
            while !is_over.load(Ordering::Relaxed) {
                let answer = get(gateway.address, TOKEN, &[]);
                let report = serde_json::from_str(&answer.body).unwrap();
                assert_eq!(status(&report, "/redis"), "working");
                let age = answer.headers.get("age").map_or(0, |age| age.parse().unwrap());
                assert!(Duration::from_secs(age) <= MAX_AGE, "{answer:?}");
                answers += 1;
                sleep(Duration::from_millis(200));
            }
            answers
        };
        let measure = |what: &str, time: Duration, act: &dyn Fn()| {
            let (before, began) = (runs(&backend), Instant::now());
            act();
            sleep(time);
            let (runs, seconds) = (runs(&backend) - before, began.elapsed().as_secs_f64());
            println!("{what}: {runs} runs in {seconds:.1} s");
            f64::from(runs) / (seconds + 1.0)
        };
        let answers: usize = scope(|scope| {
            let callers: Vec<_> =
                fleet.iter().map(|gateway| scope.spawn(|| ask(gateway))).collect();
            let healthy = measure("healthy", Duration::from_secs(8), &|| {});
            let paused = measure("3 gateways paused", Duration::from_secs(3), &|| {
                fleet[..3].iter().for_each(|gateway| gateway.server.pause());
            });
            fleet[..3].iter().for_each(|gateway| gateway.server.resume());
            measure("store silent", Duration::from_secs(3), &|| store.server.pause());
            store.server.resume();
            let count = |gateway: &Gateway| gateway.log().matches("share store available").count();
            for gateway in &fleet {
                wait_for("the store", || (count(gateway) > 1).then_some(()).ok_or(gateway.log()));
            }
            let again = measure("store answers again", Duration::from_secs(5), &|| {});
            is_over.store(true, Ordering::Relaxed);
            for rate in [healthy, paused, again] {
                assert!(rate <= 1.1 / MAX_AGE.as_secs_f64(), "{rate} runs each second");
            }
            callers.into_iter().map(|caller| caller.join().unwrap()).sum()
        });
        let of_backend = fleet.iter().map(|it| it.connections(&[backend.port()])[0]).sum::<usize>();
        println!("{answers} answers; connections to the backend at the end: {of_backend}");
    }

    #[test]
    fn the_first_logins_of_a_fleet_are_spread_over_seconds() {
        let delay = || {
            let (vault, port) = silent();
            let section = format!("[vault]\nurl = \"http://127.0.0.1:{port}\"\ntoken = \"t\"\n");
            let gateway = Gateway::start(&(without_token(&file(1, 1)) + &section));
            let started = Instant::now();
            let (login, _) = vault.accept().unwrap();
            drop((login, gateway));
            started.elapsed()
        };
        let mut delays: Vec<_> = scope(|scope| {
            let threads: Vec<_> = (0..12).map(|_| scope.spawn(delay)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        delays.sort();
        println!("the first logins came after {delays:?}");
        let spread = delays[delays.len() - 1].saturating_sub(delays[0]);
        assert!(spread > Duration::from_secs(1), "{delays:?}");
    }
}
