//! Workers in every state, on both transports.
//!
//! Starting one takes seconds, so each serves several scenarios.

use std::time::Instant;

use probe::{Observation, Steps};
use probe_testkit::checks;
use stack::celery::{Pool, Worker};

use crate::fixture::{Broker, Fixture, QUEUES, run_all};
use crate::{SHORT_TIMEOUT, TIMEOUT};

/// Both queues, without further settings.
const BOTH: &str = "queues = ['high_priority', 'low_priority']\n";

/// The scenarios with one worker on all queues.
async fn one_worker(fixture: Fixture) {
    let worker = fixture.worker("w1");
    a_worker_that_answers_is_working(&fixture, &worker).await;
    a_worker_is_observed(&fixture).await;
    a_stopped_worker_is_not_working(&fixture, &worker).await;
    fixture.wait_until_empty().await;
    a_backlog_behind_a_busy_child_is_reported(&fixture).await;
    fixture.wait_until_empty().await;
    if fixture.is_redis() {
        messages_that_do_not_become_fewer_are_reported(&fixture).await;
    }
    a_killed_worker_is_reported_immediately(&fixture, worker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_one_worker_is_reported_on_amqp() {
    one_worker(Fixture::amqp().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_one_worker_is_reported_on_redis() {
    one_worker(Fixture::redis()).await;
}

async fn a_worker_that_answers_is_working(fixture: &Fixture, worker: &Worker) {
    fixture.run(BOTH).await.expect_working();
    fixture.run(&format!("workers = ['{}']", worker.name())).await.expect_working();
}

async fn a_worker_is_observed(fixture: &Fixture) {
    let celery = fixture.celery("workers = 1\nqueues = ['high_priority']\n");
    let mut observed = Vec::new();
    for (_, check) in checks(&celery) {
        let steps = Steps::new();
        check.check(&steps).await.unwrap();
        observed.extend(steps.observations());
    }
    let queue = || "high_priority".into();
    let mut expected = vec![
        Observation::CeleryWorkersExpected(1),
        Observation::CeleryWorkers(1),
        Observation::QueueMessages(queue(), 0),
    ];
    // Redis does not count them.
    if !fixture.is_redis() {
        expected.push(Observation::QueueConsumers(queue(), 1));
    }
    assert_eq!(observed, expected);
}

/// To the broker, a stopped worker is still a consumer.
async fn a_stopped_worker_is_not_working(fixture: &Fixture, worker: &Worker) {
    let celery = fixture.celery(BOTH);
    run_all(&celery, TIMEOUT).await.expect_working();
    worker.server.pause();
    fixture.app.send("high_priority", 3, 0).unwrap();
    let (on_high, on_low, high, low) = match &fixture.broker {
        Broker::Redis(redis) => {
            // The worker has popped one message, unless its `BRPOP` was not pending when it was stopped.
            let length = redis.command(&["-n", "1", "LLEN", "high_priority"]).unwrap();
            assert!(["2", "3"].contains(&length.as_str()), "{length}");
            (
                format!("{length} messages waiting on high_priority"),
                "0 messages waiting on low_priority",
                format!("{length} messages waiting"),
                "0 messages waiting",
            )
        }
        _ => (
            "1 consumer on high_priority, 0 messages waiting".to_owned(),
            "1 consumer on low_priority, 0 messages waiting",
            "1 consumer, 0 messages waiting".to_owned(),
            "1 consumer, 0 messages waiting",
        ),
    };
    run_all(&celery, SHORT_TIMEOUT).await.expect(&[
        ("ping", &format!("ping: no worker answered within 1s ({on_high}; {on_low})")),
        (
            "queues.high_priority",
            &format!("queue: no worker that consumes high_priority answered within 1s ({high})"),
        ),
        (
            "queues.low_priority",
            &format!("queue: no worker that consumes low_priority answered within 1s ({low})"),
        ),
    ]);
    worker.server.resume();
    run_all(&celery, TIMEOUT).await.expect_working();
}

/// The parent replies while its child is busy; the backlog shows the waiting messages.
async fn a_backlog_behind_a_busy_child_is_reported(fixture: &Fixture) {
    let _hold = fixture.app.hold("high_priority").unwrap();
    // More than a worker prefetches.
    fixture.app.send("high_priority", 30, 0).unwrap();
    let outcomes = fixture.run(&format!("max_messages = 10\n{BOTH}")).await;
    assert_eq!(outcomes.line("ping"), "working");
    assert_eq!(outcomes.line("queues.low_priority"), "working");
    let line = outcomes.line("queues.high_priority");
    assert!(line.contains("messages waiting on high_priority, expected at most 10"), "{line}");
    fixture.run(BOTH).await.expect_working();
}

async fn messages_that_do_not_become_fewer_are_reported(fixture: &Fixture) {
    let hold = fixture.app.hold("high_priority").unwrap();
    // More than the worker prefetches.
    fixture.app.send("high_priority", 30, 0).unwrap();
    let celery = fixture.celery("stalled_after = '2s'\nqueues = ['high_priority']\n");
    let started = Instant::now();
    let line = loop {
        let line = run_all(&celery, TIMEOUT).await.line("queues.high_priority");
        if line != "working" {
            break line;
        }
        assert!(started.elapsed() < TIMEOUT, "the stalled queue was not noticed");
    };
    let expected = "messages waiting, and the number has not fallen for 2s";
    assert!(line.starts_with("stalled: ") && line.ends_with(expected), "{line}");
    drop(hold);
    fixture.wait_until_empty().await;
    run_all(&celery, TIMEOUT).await.expect_working();
}

async fn a_killed_worker_is_reported_immediately(fixture: &Fixture, mut worker: Worker) {
    let celery = fixture.celery(BOTH);
    run_all(&celery, TIMEOUT).await.expect_working();
    worker.server.stop();
    if fixture.is_redis() {
        fixture.app.send("high_priority", 2, 0).unwrap();
        run_all(&celery, TIMEOUT).await.expect(&[
            (
                "ping",
                "ping: no worker is connected (2 messages waiting on high_priority; 0 messages waiting on low_priority)",
            ),
            ("queues.high_priority", "queue: no worker is connected (2 messages waiting)"),
            ("queues.low_priority", "queue: no worker is connected (0 messages waiting)"),
        ]);
    } else {
        fixture.app.send("high_priority", 496, 0).unwrap();
        run_all(&celery, TIMEOUT).await.expect(&[
            (
                "ping",
                "ping: no worker is connected (0 consumers on high_priority, 496 messages waiting; 0 consumers on low_priority, 0 messages waiting)",
            ),
            ("queues.high_priority", "queue: high_priority has no consumer (496 messages waiting)"),
            ("queues.low_priority", "queue: low_priority has no consumer (0 messages waiting)"),
        ]);
    }
    worker.server.restart().unwrap();
    run_all(&celery, TIMEOUT).await.expect_working();
}

/// A worker without children does not reply while it runs a task.
async fn a_busy_solo_worker(fixture: Fixture) {
    let _worker = fixture.app.worker("solo", Pool::Solo, &QUEUES).unwrap();
    let celery = fixture.celery(BOTH);
    run_all(&celery, TIMEOUT).await.expect_working();
    let hold = fixture.app.hold("high_priority").unwrap();
    let line = run_all(&celery, SHORT_TIMEOUT).await.line("ping");
    assert!(line.starts_with("ping: no worker answered within 1s ("), "{line}");
    drop(hold);
    run_all(&celery, TIMEOUT).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_solo_worker_replies_once_it_is_done_on_amqp() {
    a_busy_solo_worker(Fixture::amqp().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_solo_worker_replies_once_it_is_done_on_redis() {
    a_busy_solo_worker(Fixture::redis()).await;
}

/// The queue that both workers of the scenarios with two consume.
const COMMON: &str = "medium_priority";

/// The scenarios with two workers, of which each consumes a queue of its own and the common one.
async fn two_workers(fixture: Fixture) {
    let start = |name, queue| fixture.app.worker(name, Pool::Prefork, &[queue, COMMON]).unwrap();
    let _first = start("w1", "high_priority");
    a_queue_without_consumers_is_reported(&fixture).await;
    let second = start("w2", "low_priority");
    a_missing_worker_of_two_is_named(&fixture, &second).await;
    a_stopped_worker_of_two_is_reported(&fixture, second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_two_workers_is_reported_on_amqp() {
    two_workers(Fixture::amqp().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_of_two_workers_is_reported_on_redis() {
    two_workers(Fixture::redis()).await;
}

async fn a_queue_without_consumers_is_reported(fixture: &Fixture) {
    fixture.app.send("low_priority", 1, 0).unwrap();
    if fixture.is_redis() {
        fixture.run(BOTH).await.expect(&[
            ("ping", "working"),
            ("queues.high_priority", "working"),
            (
                "queues.low_priority",
                "queue: no worker consumes low_priority (1 message waiting, 1 other worker answered)",
            ),
        ]);
        return;
    }
    fixture.run("queues = ['high_priority', 'low_priority', 'missing']").await.expect(&[
        ("ping", "working"),
        ("queues.high_priority", "working"),
        ("queues.low_priority", "queue: low_priority has no consumer (1 message waiting)"),
        ("queues.missing", "queue: missing does not exist"),
    ]);
}

/// The missing worker is named; the queues of the other are working.
async fn a_missing_worker_of_two_is_named(fixture: &Fixture, second: &Worker) {
    let by_name = fixture.celery("workers = ['w1@localhost', 'w2@localhost']");
    let by_number = fixture.celery(&format!("workers = 2\n{BOTH}"));
    run_all(&by_name, TIMEOUT).await.expect_working();
    run_all(&by_number, TIMEOUT).await.expect_working();
    second.server.pause();
    run_all(&by_name, SHORT_TIMEOUT)
        .await
        .expect(&[("ping", "ping: no answer from w2@localhost within 1s")]);
    let outcomes = run_all(&by_number, SHORT_TIMEOUT).await;
    let line = outcomes.line("ping");
    assert!(line.starts_with("ping: 1 worker answered, 2 expected within 1s ("), "{line}");
    assert_eq!(outcomes.line("queues.high_priority"), "working");
    let line = outcomes.line("queues.low_priority");
    let expected = "queue: no worker that consumes low_priority answered within 1s (";
    assert!(line.starts_with(expected) && line.ends_with(", 1 other worker answered)"), "{line}");
    second.server.resume();
    run_all(&by_name, TIMEOUT).await.expect_working();
}

/// One of two workers is stopped, although the broker still delivers messages to it.
async fn a_stopped_worker_of_two_is_reported(fixture: &Fixture, second: Worker) {
    let common = format!("queues = ['{COMMON}']\n");
    // `ping` waits for both, so that the next run knows them.
    let celery = fixture.celery(&format!("workers = 2\n{common}"));
    run_all(&celery, TIMEOUT).await.expect_working();
    second.server.pause();
    let line = run_all(&celery, SHORT_TIMEOUT).await.line("queues.medium_priority");
    let silence = "queue: no answer from 1 of 2 consumers of medium_priority within 1s (";
    assert!(line.starts_with(silence), "{line}");
    fixture.run(&format!("max_silent = 1\n{common}")).await.expect_working();
    // The broker notices its end, and the request is repeated.
    let (run, ()) = tokio::join!(fixture.run(&common), async { drop(second) });
    run.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_priority_count_on_redis() {
    let fixture = Fixture::redis();
    for priority in [0, 3, 6, 9] {
        fixture.app.send("high_priority", 2, priority).unwrap();
    }
    fixture.run("max_messages = 7\nqueues = ['high_priority']").await.expect(&[(
        "queues.high_priority",
        "queue: 8 messages waiting on high_priority, expected at most 7",
    )]);
}

/// While another worker is silent, the broker does not show whether the one that is missing has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_ended_is_not_expected_to_reply_on_redis() {
    let fixture = Fixture::redis();
    let start = |name, queue| fixture.app.worker(name, Pool::Prefork, &[queue]).unwrap();
    let _first = start("w1", "high_priority");
    let silent = start("w2", "low_priority");
    let ended = start("w3", "high_priority");
    let celery = fixture.celery("workers = 3\nqueues = ['high_priority']\n");
    run_all(&celery, TIMEOUT).await.expect_working();
    silent.server.pause();
    ended.server.terminate();
    let table = "_kombu.binding.celery.pidbox";
    fixture.server().wait_for(&["-n", "1", "SCARD", table], "2").unwrap();
    let outcomes = run_all(&celery, SHORT_TIMEOUT).await;
    assert_eq!(outcomes.line("queues.high_priority"), "working");
    assert_eq!(
        outcomes.line("ping"),
        "ping: 1 worker answered, 3 expected within 1s (0 messages waiting on high_priority)"
    );
    silent.server.resume();
}
