//! Workers with each serializer of kombu, and with one that the gateway does not know.

use std::time::Duration;

use probe_testkit::Authority;
use stack::celery::Worker;

use crate::fixture::{Fixture, run_all};
use crate::{SHORT_TIMEOUT, TIMEOUT};

const CANARY: &str = "canary = true\nqueues = ['high_priority', 'low_priority']\n";

/// Settings of a worker that reads and writes nothing else.
fn only(serializer: &str) -> String {
    format!(
        r#"{{"task_serializer": "{serializer}", "result_serializer": "{serializer}", "accept_content": ["{serializer}"]}}"#
    )
}

/// The request, the reply, the task and its result have this serializer.
async fn a_worker_of(serializer: &str, fixture: &Fixture) {
    let celery = fixture.celery(&format!("accept_content = ['{serializer}']\n{CANARY}"));
    for _ in 0..2 {
        run_all(&celery, TIMEOUT).await.expect_working();
    }
    let queues = fixture.celery(&format!(
        "accept_content = ['{serializer}', 'auth']\nqueues = ['high_priority', 'low_priority']\n"
    ));
    run_all(&queues, TIMEOUT).await.expect_working();
}

/// How often a worker has refused a message.
fn refusals(log: &str) -> usize {
    log.matches("ContentDisallowed: Refusing to deserialize").count()
}

/// The worker cannot read JSON, and logs that for the first run only, although a request without an answer is otherwise repeated each second.
async fn json_is_refused_once(fixture: &Fixture, worker: &Worker) {
    let celery = fixture.celery("queues = ['high_priority']\n");
    let outcomes = run_all(&celery, Duration::from_millis(2500)).await;
    let line = outcomes.line("ping");
    let first =
        ["ping: no worker answered within 2.5s (", "; none ever has, see `accept_content`)"];
    assert!(line.starts_with(first[0]) && line.ends_with(first[1]), "{line}");
    let outcomes = run_all(&celery, SHORT_TIMEOUT).await;
    for name in ["ping", "queues.high_priority"] {
        let line = outcomes.line(name);
        assert!(line.contains(": no worker has ever answered, see `accept_content` ("), "{line}");
    }
    assert_eq!(refusals(&worker.log().unwrap()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_pickle_is_working_on_redis() {
    let fixture = Fixture::redis_with(&only("pickle"));
    let worker = fixture.worker("w1");
    a_worker_of("pickle", &fixture).await;
    assert_eq!(refusals(&worker.log().unwrap()), 0);
    json_is_refused_once(&fixture, &worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_pickle_is_working_on_amqp() {
    let fixture = Fixture::amqp_with(&only("pickle")).await;
    let worker = fixture.worker("w1");
    a_worker_of("pickle", &fixture).await;
    assert_eq!(refusals(&worker.log().unwrap()), 0);
    json_is_refused_once(&fixture, &worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_msgpack_is_working() {
    let fixture = Fixture::redis_with(&only("msgpack"));
    let _worker = fixture.worker("w1");
    a_worker_of("msgpack", &fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_yaml_is_working() {
    let fixture = Fixture::redis_with(&only("yaml"));
    let _worker = fixture.worker("w1");
    a_worker_of("yaml", &fixture).await;
}

/// Its messages are signed by Celery's serializer `auth`, which the gateway does not have.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_signed_messages_refuses_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (key, certificate) = (path("key.pem"), path("certificate.pem"));
    let identity = Authority::self_signed_rsa("worker");
    std::fs::write(&key, identity.key).unwrap();
    std::fs::write(&certificate, identity.certificate).unwrap();
    let fixture = Fixture::redis_with(&format!(
        r#"{{"task_serializer": "auth", "accept_content": ["auth"], "security_key": "{key}", "security_certificate": "{certificate}", "security_cert_store": "{certificate}"}}"#
    ));
    let worker = fixture.worker("w1");
    json_is_refused_once(&fixture, &worker).await;
}

/// It has replied, but not so that its name and its queues are known.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_in_an_unknown_serializer_is_one_reply() {
    let settings = r#"{"task_serializer": "reversed", "accept_content": ["json", "reversed"]}"#;
    let fixture = Fixture::redis_with(settings);
    let _worker = fixture.worker("w1");
    let queues = "queues = ['high_priority']\n";
    let outcomes = run_all(&fixture.celery(queues), SHORT_TIMEOUT).await;
    outcomes.expect(&[
        ("ping", "working"),
        ("queues.high_priority", "queue: a worker answered in application/x-reversed, which is not known here; no worker that consumes high_priority answered within 1s (0 messages waiting)"),
    ]);
    let lines = format!("workers = 2\ncanary = true\n{queues}");
    let outcomes = run_all(&fixture.celery(&lines), SHORT_TIMEOUT).await;
    outcomes.expect(&[
        ("ping", "ping: a worker answered in application/x-reversed, which is not known here; 0 other workers answered, 2 expected within 1s (0 messages waiting on high_priority)"),
        ("queues.high_priority", "working"),
    ]);
}
