//! Neither healthy runs nor those that are cut off leave anything behind.

use probe::DynChecks;
use probe_celery::KIND;
use probe_testkit::cut_at_random;
use stack::redis::Redis;

use crate::PATIENCE;
use crate::stage::{Broker, Stage, ask};

const ALL: &str = "canary = true\nqueues = ['high_priority', 'low_priority']\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_healthy_runs_leave_nothing_on_the_broker() {
    let stage = Stage::amqp();
    let _worker = stage.worker("w1");
    let Broker::Amqp(rabbit) = &stage.broker else { panic!("a RabbitMQ") };
    let celery = warm(&stage).await;
    let queues = || rabbit.ctl(&["list_queues", "-p", "app", "name", "messages"]).unwrap();
    let before = (rabbit.counts().unwrap(), queues());
    for _ in 0..100 {
        ask(&celery, PATIENCE).await.expect_working();
    }
    assert_eq!((rabbit.counts().unwrap(), queues()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_cut_anywhere_leave_nothing_on_amqp() {
    let stage = Stage::amqp();
    let _worker = stage.worker("w1");
    let Broker::Amqp(rabbit) = &stage.broker else { panic!("a RabbitMQ") };
    let celery = warm(&stage).await;
    let with_us = rabbit.counts().unwrap();
    cut_at_random(KIND, "celery", stage.section(ALL), 1000).await;
    rabbit.wait_for(with_us).unwrap();
    drop(celery);
    rabbit
        .wait_until(|now| {
            now.connections == with_us.connections - 1 && now.queues == with_us.queues - 1
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_cut_anywhere_leave_nothing_on_redis() {
    let stage = Stage::redis();
    let _worker = stage.worker("w1");
    let Broker::Redis(redis) = &stage.broker else { panic!("a Redis") };
    drop(warm(&stage).await);
    cut_at_random(KIND, "celery", stage.section(ALL), 1000).await;
    let ours: Vec<_> =
        keys(redis).into_iter().filter(|key| key.contains("health-gateway")).collect();
    assert_eq!(ours, [""; 0]);
    assert_eq!(
        redis.ask(&["-n", "1", "EXISTS", "_kombu.binding.reply.celery.pidbox"]).unwrap(),
        "0"
    );
}

/// A section that has run once, after which the worker has the connections that it needs to answer.
async fn warm(stage: &Stage) -> DynChecks {
    let celery = stage.celery(ALL);
    ask(&celery, PATIENCE).await.expect_working();
    celery
}

/// What an earlier gateway left when it was killed is gone after the first question, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_gateway_left_is_swept_up() {
    let stage = Stage::redis();
    let _worker = stage.worker("w1");
    let Broker::Redis(redis) = &stage.broker else { panic!("a Redis") };
    let table = "_kombu.binding.reply.celery.pidbox";
    let old = "health-gateway.1000.ticket\x06\x16\x06\x16the-list";
    redis.ask(&["-n", "1", "SADD", table, old, "of-celery\x06\x16\x06\x16its-list"]).unwrap();
    redis.ask(&["-n", "1", "RPUSH", "the-list", "a late answer"]).unwrap();
    stage.ask("").await.expect_working();
    redis.wait_for(&["-n", "1", "SCARD", table], "1").unwrap();
    assert_eq!(redis.ask(&["-n", "1", "EXISTS", "the-list"]).unwrap(), "0");
}

fn keys(redis: &Redis) -> Vec<String> {
    let mut keys = Vec::new();
    for database in ["1", "2"] {
        let found = redis.ask(&["-n", database, "KEYS", "*"]).unwrap();
        keys.extend(found.lines().map(|key| format!("{database} {key}")));
    }
    keys.sort();
    keys
}
