//! A task goes through the queue and comes back, or says where it stays.

use std::time::Duration;

use probe_celery::KIND;
use probe_testkit::component;
use stack::celery::{App, Pool};
use stack::rabbit::Rabbit;
use stack::redis::Redis;

use crate::stage::{Broker, QUEUES, Stage, ask};
use crate::{MOMENT, PATIENCE};

const CANARY: &str = "canary = true\nqueues = ['high_priority']\n";

/// A child that is stuck takes nothing from its queue, though its parent answers.
async fn a_stuck_child(stage: Stage) {
    let _worker = stage.worker("w1");
    let celery = stage.celery(CANARY);
    ask(&celery, PATIENCE).await.expect_working();
    let hold = stage.app.hold("high_priority").unwrap();
    let report = ask(&celery, MOMENT).await;
    assert_eq!(report.said("ping"), "working");
    let said = report.said("queues.high_priority");
    assert!(said.starts_with("canary: no task came back within 1s ("), "{said}");
    // The next run waits for the same one, however short a while it has been away.
    let said = ask(&celery, MOMENT).await.said("queues.high_priority");
    assert!(said.starts_with("canary: a task sent "), "{said}");
    assert!(said.contains("s ago did not come back within 1s ("), "{said}");
    drop(hold);
    ask(&celery, PATIENCE).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_child_is_seen_by_the_canary_on_amqp() {
    a_stuck_child(Stage::amqp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_child_is_seen_by_the_canary_on_redis() {
    let stage = Stage::redis();
    a_stuck_child(stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_comes_back_through_redis_to_an_application_on_amqp() {
    let (rabbit, redis) = (Rabbit::start(&[]).unwrap(), Redis::start(&[]).unwrap());
    let results = format!("redis://127.0.0.1:{}/0", redis.port());
    let app = App::new(&rabbit.admin_url(), &results).unwrap();
    let _worker = app.worker("w1", Pool::Prefork, &QUEUES).unwrap();
    let broker = rabbit.admin_url();
    let section = format!("broker = '{broker}'\nresult_backend = '{results}'\n{CANARY}");
    let celery = component(&KIND, "celery", &section);
    for _ in 0..10 {
        ask(&celery, PATIENCE).await.expect_working();
    }
    assert_eq!(redis.ask(&["KEYS", "*"]).unwrap(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_backend_that_is_down_is_told_with_its_own_address() {
    let stage = Stage::redis();
    let _worker = stage.worker("w1");
    let closed = stack::free_port().unwrap();
    let section = format!(
        "broker = 'redis://127.0.0.1:{}/1'\nresult_backend = 'redis://127.0.0.1:{closed}'\n{CANARY}",
        stage.port()
    );
    let report = ask(&component(&KIND, "celery", &section), PATIENCE).await;
    assert_eq!(
        report.said("queues.high_priority"),
        format!("result backend: connect: connection refused (127.0.0.1:{closed})")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_leave_no_key_and_no_message_on_redis() {
    let stage = Stage::redis();
    let _worker = stage.worker("w1");
    let Broker::Redis(redis) = &stage.broker else { panic!("a Redis") };
    let keys = |database: &str| {
        let keys = redis.ask(&["-n", database, "KEYS", "*"]).unwrap();
        let mut keys: Vec<_> = keys.lines().map(ToOwned::to_owned).collect();
        keys.sort();
        keys
    };
    let before = (keys("1"), keys("2"));
    let celery = stage.celery(CANARY);
    for _ in 0..100 {
        ask(&celery, PATIENCE).await.expect_working();
    }
    // What comes after an answer happens in the background.
    redis.wait_for(&["-n", "1", "EXISTS", "_kombu.binding.reply.celery.pidbox"], "0").unwrap();
    assert_eq!((keys("1"), keys("2")), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_never_more_than_one_canary_in_a_queue() {
    let stage = Stage::redis();
    let worker = stage.worker("w1");
    let Broker::Redis(redis) = &stage.broker else { panic!("a Redis") };
    let celery = stage.celery(CANARY);
    ask(&celery, PATIENCE).await.expect_working();
    let hold = stage.app.hold("high_priority").unwrap();
    // What the worker takes in advance is full.
    stage.app.send("high_priority", 30, 0).unwrap();
    let before: u32 = redis.ask(&["-n", "1", "LLEN", "high_priority"]).unwrap().parse().unwrap();
    for _ in 0..5 {
        let said = ask(&celery, Duration::from_millis(300)).await.said("queues.high_priority");
        assert!(said.starts_with("canary: "), "{said}");
    }
    let after: u32 = redis.ask(&["-n", "1", "LLEN", "high_priority"]).unwrap().parse().unwrap();
    assert_eq!(after, before + 1);
    drop(hold);
    ask(&celery, PATIENCE).await.expect_working();
    drop(worker);
}
