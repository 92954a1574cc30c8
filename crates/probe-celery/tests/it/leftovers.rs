//! Runs leave nothing behind on the broker, whether they succeed or are cut off.

use probe::DynChecks;
use probe_celery::KIND;
use probe_testkit::cut_at_random;
use stack::redis::Redis;

use crate::TIMEOUT;
use crate::fixture::{Broker, Fixture, run_all};

const ALL: &str = "canary = true\nqueues = ['high_priority', 'low_priority']\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_healthy_runs_leave_nothing_on_the_broker() {
    let fixture = Fixture::amqp();
    let _worker = fixture.worker("w1");
    let Broker::Amqp(rabbit) = &fixture.broker else { panic!("a RabbitMQ") };
    let celery = warm(&fixture).await;
    let queues = || rabbit.ctl(&["list_queues", "-p", "app", "name", "messages"]).unwrap();
    let before = (rabbit.counts().unwrap(), queues());
    for _ in 0..100 {
        run_all(&celery, TIMEOUT).await.expect_working();
    }
    assert_eq!((rabbit.counts().unwrap(), queues()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_cut_at_random_leave_nothing_on_amqp() {
    let fixture = Fixture::amqp();
    let _worker = fixture.worker("w1");
    let Broker::Amqp(rabbit) = &fixture.broker else { panic!("a RabbitMQ") };
    let celery = warm(&fixture).await;
    let connected = rabbit.counts().unwrap();
    cut_at_random(KIND, "celery", fixture.section(ALL), 1000).await;
    rabbit.wait_for(connected).unwrap();
    drop(celery);
    rabbit
        .wait_until(|now| {
            now.connections == connected.connections - 1 && now.queues == connected.queues - 1
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_runs_cut_at_random_leave_nothing_on_redis() {
    let fixture = Fixture::redis();
    let _worker = fixture.worker("w1");
    let Broker::Redis(redis) = &fixture.broker else { panic!("a Redis") };
    drop(warm(&fixture).await);
    cut_at_random(KIND, "celery", fixture.section(ALL), 1000).await;
    let ours: Vec<_> =
        keys(redis).into_iter().filter(|key| key.contains("health-gateway")).collect();
    assert_eq!(ours, [""; 0]);
    assert_eq!(
        redis.command(&["-n", "1", "EXISTS", "_kombu.binding.reply.celery.pidbox"]).unwrap(),
        "0"
    );
}

/// A section that has run once, so that the worker has opened the connections on which it replies.
async fn warm(fixture: &Fixture) -> DynChecks {
    let celery = fixture.celery(ALL);
    run_all(&celery, TIMEOUT).await.expect_working();
    celery
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_reply_queues_of_a_killed_gateway_are_removed_and_no_others() {
    let fixture = Fixture::redis();
    let _worker = fixture.worker("w1");
    let Broker::Redis(redis) = &fixture.broker else { panic!("a Redis") };
    let table = "_kombu.binding.reply.celery.pidbox";
    let old = "health-gateway.1000.ticket\x06\x16\x06\x16the-list";
    redis.command(&["-n", "1", "SADD", table, old, "of-celery\x06\x16\x06\x16its-list"]).unwrap();
    redis.command(&["-n", "1", "RPUSH", "the-list", "a late reply"]).unwrap();
    fixture.run("").await.expect_working();
    redis.wait_for(&["-n", "1", "SCARD", table], "1").unwrap();
    assert_eq!(redis.command(&["-n", "1", "EXISTS", "the-list"]).unwrap(), "0");
}

fn keys(redis: &Redis) -> Vec<String> {
    let mut keys = Vec::new();
    for database in ["1", "2"] {
        let found = redis.command(&["-n", database, "KEYS", "*"]).unwrap();
        keys.extend(found.lines().map(|key| format!("{database} {key}")));
    }
    keys.sort();
    keys
}
