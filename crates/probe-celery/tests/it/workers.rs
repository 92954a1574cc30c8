//! Workers in every state, on both transports.

use stack::celery::Pool;

use crate::MOMENT;
use crate::stage::{Broker, QUEUES, Stage, ask};

/// Both queues, and that is all.
const BOTH: &str = "queues = ['high_priority', 'low_priority']\n";

async fn a_worker_answers(stage: Stage) {
    let worker = stage.worker("w1");
    stage.ask(BOTH).await.expect_working();
    stage.ask(&format!("workers = ['{}']", worker.name())).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_answers_is_working_on_amqp() {
    a_worker_answers(Stage::amqp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_answers_is_working_on_redis() {
    a_worker_answers(Stage::redis()).await;
}

/// A stopped worker is still a consumer to its broker.
async fn a_stopped_worker(stage: Stage) {
    let worker = stage.worker("w1");
    let celery = stage.celery(BOTH);
    ask(&celery, crate::PATIENCE).await.expect_working();
    worker.server.pause();
    stage.app.send("high_priority", 3, 0).unwrap();
    let (on_high, on_low, high, low) = match &stage.broker {
        Broker::Amqp(_) => (
            "1 consumer on high_priority, 0 messages waiting".to_owned(),
            "1 consumer on low_priority, 0 messages waiting",
            "1 consumer, 0 messages waiting".to_owned(),
            "1 consumer, 0 messages waiting",
        ),
        Broker::Redis(redis) => {
            // One is on its way to the worker, unless it was just not waiting for any when it was stopped.
            let length = redis.ask(&["-n", "1", "LLEN", "high_priority"]).unwrap();
            assert!(["2", "3"].contains(&length.as_str()), "{length}");
            (
                format!("{length} messages waiting on high_priority"),
                "0 messages waiting on low_priority",
                format!("{length} messages waiting"),
                "0 messages waiting",
            )
        }
    };
    ask(&celery, MOMENT).await.expect(&[
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
    ask(&celery, crate::PATIENCE).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_is_not_working_on_amqp() {
    a_stopped_worker(Stage::amqp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_is_not_working_on_redis() {
    a_stopped_worker(Stage::redis()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_told_at_once_on_amqp() {
    let stage = Stage::amqp();
    let mut worker = stage.worker("w1");
    let celery = stage.celery(BOTH);
    ask(&celery, crate::PATIENCE).await.expect_working();
    worker.server.stop();
    stage.app.send("high_priority", 496, 0).unwrap();
    ask(&celery, crate::PATIENCE).await.expect(&[
        (
            "ping",
            "ping: no worker is connected (0 consumers on high_priority, 496 messages waiting; 0 consumers on low_priority, 0 messages waiting)",
        ),
        ("queues.high_priority", "queue: high_priority has no consumer (496 messages waiting)"),
        ("queues.low_priority", "queue: low_priority has no consumer (0 messages waiting)"),
    ]);
    worker.server.restart().unwrap();
    ask(&celery, crate::PATIENCE).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_told_at_once_on_redis() {
    let stage = Stage::redis();
    let mut worker = stage.worker("w1");
    let celery = stage.celery(BOTH);
    ask(&celery, crate::PATIENCE).await.expect_working();
    worker.server.stop();
    stage.app.send("high_priority", 2, 0).unwrap();
    ask(&celery, crate::PATIENCE).await.expect(&[
        (
            "ping",
            "ping: no worker is connected (2 messages waiting on high_priority; 0 messages waiting on low_priority)",
        ),
        ("queues.high_priority", "queue: no worker is connected (2 messages waiting)"),
        ("queues.low_priority", "queue: no worker is connected (0 messages waiting)"),
    ]);
}

/// The parent answers while its child is busy; what waits behind it shows in the backlog.
async fn a_busy_child(stage: Stage) {
    let _worker = stage.worker("w1");
    let _hold = stage.app.hold("high_priority").unwrap();
    // More than a worker takes in advance.
    stage.app.send("high_priority", 30, 0).unwrap();
    let report = stage.ask(&format!("max_messages = 10\n{BOTH}")).await;
    assert_eq!(report.said("ping"), "working");
    assert_eq!(report.said("queues.low_priority"), "working");
    let said = report.said("queues.high_priority");
    assert!(said.contains("messages waiting on high_priority, expected at most 10"), "{said}");
    stage.ask(BOTH).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_behind_a_busy_child_is_told_on_amqp() {
    a_busy_child(Stage::amqp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_behind_a_busy_child_is_told_on_redis() {
    a_busy_child(Stage::redis()).await;
}

/// A worker without children answers nobody while it works, and then does.
async fn a_busy_solo_worker(stage: Stage) {
    let _worker = stage.app.worker("solo", Pool::Solo, &QUEUES).unwrap();
    let celery = stage.celery(BOTH);
    ask(&celery, crate::PATIENCE).await.expect_working();
    let hold = stage.app.hold("high_priority").unwrap();
    let said = ask(&celery, MOMENT).await.said("ping");
    assert!(said.starts_with("ping: no worker answered within 1s ("), "{said}");
    drop(hold);
    ask(&celery, crate::PATIENCE).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_solo_worker_answers_when_it_is_done_on_amqp() {
    a_busy_solo_worker(Stage::amqp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_solo_worker_answers_when_it_is_done_on_redis() {
    a_busy_solo_worker(Stage::redis()).await;
}

/// The one that is missing is named; the queues that the other consumes are well.
async fn one_of_two(stage: Stage) {
    let _first = stage.app.worker("w1", Pool::Prefork, &["high_priority"]).unwrap();
    let second = stage.app.worker("w2", Pool::Prefork, &["low_priority"]).unwrap();
    let by_name = stage.celery("workers = ['w1@localhost', 'w2@localhost']");
    let by_number = stage.celery(&format!("workers = 2\n{BOTH}"));
    ask(&by_name, crate::PATIENCE).await.expect_working();
    ask(&by_number, crate::PATIENCE).await.expect_working();
    second.server.pause();
    ask(&by_name, MOMENT).await.expect(&[("ping", "ping: no answer from w2@localhost within 1s")]);
    let report = ask(&by_number, MOMENT).await;
    let said = report.said("ping");
    assert!(said.starts_with("ping: 1 worker answered, 2 expected within 1s ("), "{said}");
    assert_eq!(report.said("queues.high_priority"), "working");
    let said = report.said("queues.low_priority");
    let expected = "queue: no worker that consumes low_priority answered within 1s (";
    assert!(said.starts_with(expected) && said.ends_with(", 1 other worker answered)"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_workers_that_is_gone_is_named_on_amqp() {
    one_of_two(Stage::amqp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_workers_that_is_gone_is_named_on_redis() {
    one_of_two(Stage::redis()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_no_worker_consumes_is_told_on_amqp() {
    let stage = Stage::amqp();
    let _worker = stage.app.worker("w1", Pool::Prefork, &["high_priority"]).unwrap();
    stage.app.send("low_priority", 1, 0).unwrap();
    stage.ask("queues = ['high_priority', 'low_priority', 'missing']").await.expect(&[
        ("ping", "working"),
        ("queues.high_priority", "working"),
        ("queues.low_priority", "queue: low_priority has no consumer (1 message waiting)"),
        ("queues.missing", "queue: missing does not exist"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_no_worker_consumes_is_told_on_redis() {
    let stage = Stage::redis();
    let _worker = stage.app.worker("w1", Pool::Prefork, &["high_priority"]).unwrap();
    stage.app.send("low_priority", 1, 0).unwrap();
    stage.ask(BOTH).await.expect(&[
        ("ping", "working"),
        ("queues.high_priority", "working"),
        (
            "queues.low_priority",
            "queue: no worker consumes low_priority (1 message waiting, 1 other worker answered)",
        ),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_priority_count_on_redis() {
    let stage = Stage::redis();
    for priority in [0, 3, 6, 9] {
        stage.app.send("high_priority", 2, priority).unwrap();
    }
    stage.ask("max_messages = 7\nqueues = ['high_priority']").await.expect(&[(
        "queues.high_priority",
        "queue: 8 messages waiting on high_priority, expected at most 7",
    )]);
}
