//! URLs of Celery: several brokers, parameters of other clients, sockets, names of transports.

use probe_celery::KIND;
use probe_testkit::{component, diagnostics, notes};
use stack::rabbit::{self, ADMIN_PASSWORD, ADMIN_USER};
use stack::redis::Redis;
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use crate::TIMEOUT;
use crate::fixture::{Outcomes, run_all};

/// The URL of the shared broker's virtual host.
fn shared(scheme: &str, user: &str, rest: &str) -> String {
    let broker = rabbit::shared().unwrap();
    format!("{scheme}://{user}@{broker}/{RABBIT_VHOST}{rest}")
}

/// The user with the documented permissions, and its password.
fn health() -> String {
    format!("{HEALTH_USER}:{HEALTH_PASSWORD}")
}

async fn run(broker: &str, lines: &str) -> Outcomes {
    let celery = component(&KIND, "celery", &format!("broker = '{broker}'\n{lines}"));
    run_all(&celery, TIMEOUT).await
}

/// The worker of the shared stack answers.
#[tokio::test(flavor = "multi_thread")]
async fn several_brokers_are_tried_in_order() {
    let closed = || {
        let port = stack::free_port().unwrap();
        (port, format!("amqp://127.0.0.1:{port}"))
    };
    let ((first, down), (_, also_down)) = (closed(), closed());
    let up = shared("amqp", &health(), "");
    run(&format!("{up};{down}"), "").await.expect_working();
    run(&format!("{down};{up}"), "").await.expect_working();
    let refused = "connect: connection refused";
    run(&format!("{down};{also_down}"), "").await.expect(&[("ping", refused)]);
    // A failure on the second names it, and a refused password is reported even if another server accepts one.
    let second = rabbit::shared().unwrap();
    let ping = async |broker: String, lines: &str| {
        let celery = component(&KIND, "celery", &format!("broker = '{broker}'\n{lines}"));
        let (_, check) = probe_testkit::checks(&celery).remove(0);
        probe_testkit::run(&check, crate::SHORT_TIMEOUT).await
    };
    let admin = shared("amqp", &format!("{ADMIN_USER}:{ADMIN_PASSWORD}"), "");
    let unused = "control_exchange = 'unused'\n";
    assert_eq!(
        ping(format!("{down};{admin}"), unused).await.line(),
        format!("ping: {second}: no worker is connected (127.0.0.1:{first})")
    );
    let timed_out = ping(format!("{down};{admin}"), "workers = ['absent@worker']\n").await;
    assert_eq!(
        timed_out.timed_out_line(),
        format!("ping: {second}: no answer from absent@worker within 1s (127.0.0.1:{first})")
    );
    let wrong = shared("amqp", &format!("{HEALTH_USER}:wrong-password"), "");
    let outcome = ping(format!("{down};{wrong};{up}"), "").await;
    let expected = format!("authenticate: {second}: ACCESS_REFUSED");
    assert!(outcome.line().starts_with(&expected), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_names_and_parameters_of_other_clients_are_understood() {
    let broker = shared("pyamqp", &health(), "?heartbeat=30&connect_timeout=5");
    run(&broker, "").await.expect_working();
    assert_eq!(
        notes(&KIND, "celery", &format!("broker = '{broker}'\n")),
        ["1: celery.broker: ignored here: `connect_timeout`, `heartbeat`"]
    );
    for (broker, expected) in [
        ("amqp://h?ssl=true", "expected a URL that begins with `amqps://` with this `ssl`"),
        (
            "amqps://h?verify=verify_none",
            "expected that the certificate is verified, as always with `amqps://`, by the setting `ca` if its issuer is a private one, instead of this `verify`",
        ),
        ("amqp://h/v;redis://h", "expected a URL that begins with `amqp://` or `amqps://`"),
    ] {
        let section = format!("broker = '{broker}'\n");
        let expected = format!("1: celery.broker: {expected}");
        assert_eq!(diagnostics(&KIND, "celery", &section), [expected], "{broker}");
    }
}

/// Nothing listens on TCP.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_is_found_by_the_path_of_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let path = socket.display();
    let _redis = Redis::start(&[&format!("unixsocket {path}"), "unixsocketperm 777"]).unwrap();
    for broker in [format!("redis+socket://{path}?virtual_host=1"), format!("unix://{path}?db=1")] {
        let outcomes = run(&broker, &format!("result_backend = '{broker}'\n")).await;
        let line = outcomes.line("ping");
        assert!(line.starts_with("ping: no worker is connected ("), "{line}");
    }
}

/// Celery demands `ssl_cert_reqs`, and writes `//` for the first database.
#[tokio::test(flavor = "multi_thread")]
async fn the_urls_of_redis_in_celery_s_documentation_are_understood() {
    for broker in [
        "rediss://h:6380/0?ssl_cert_reqs=required",
        "redis://h//",
        "valkey://h/1",
        "sentinel://a:26379/1;sentinel://b:26379/1",
    ] {
        let options = "[transport_options]\nmaster_name = 'app'\n\
             sentinel_kwargs = {password = 'of-sentinel'}\n\
             [result_backend_transport_options]\nmaster_name = 'app'\n";
        let options = if broker.starts_with("sentinel") { options } else { "" };
        let section = format!("broker = '{broker}'\nresult_backend = '{broker}'\n{options}");
        assert_eq!(notes(&KIND, "celery", &section), [""; 0], "{broker}");
    }
    let broker = "redis://h?socket_timeout=5";
    assert_eq!(
        notes(&KIND, "celery", &format!("broker = '{broker}'\n")),
        ["1: celery.broker: ignored here: `socket_timeout`"]
    );
}
