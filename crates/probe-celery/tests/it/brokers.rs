//! Brokers that are down, silent, restarted or refuse us.

use std::time::{Duration, Instant};

use probe_celery::KIND;
use probe_testkit::component;
use stack::rabbit::{ADMIN_USER, Rabbit};
use stack::redis::Redis;

use crate::stage::{Broker, Stage, ask};
use crate::{MOMENT, PATIENCE};

const ONE: &str = "queues = ['high_priority']\n";

/// Every check of a section with this broker says `expected`.
async fn check_all(broker: &str, expected: &str) {
    let celery = component(&KIND, "celery", &format!("broker = '{broker}'\n{ONE}"));
    let report = ask(&celery, PATIENCE).await;
    report.expect(&[("ping", expected), ("queues.high_priority", expected)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_is_told() {
    let closed = stack::free_port().unwrap();
    for scheme in ["amqp", "redis"] {
        let broker = format!("{scheme}://127.0.0.1:{closed}");
        check_all(&broker, "connect: connection refused").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_is_told() {
    let rabbit = Rabbit::start(&[]).unwrap();
    check_all(
        &rabbit.url(ADMIN_USER, "wrong-password"),
        "authenticate: ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile",
    )
    .await;
    check_all(
        &format!("{}-not", rabbit.admin_url()),
        "virtual host: NOT_ALLOWED - vhost app-not not found",
    )
    .await;
    let redis = Redis::start(&["requirepass right-password"]).unwrap();
    check_all(
        &format!("redis://:wrong-password@127.0.0.1:{}/0", redis.port()),
        "authenticate: WRONGPASS invalid username-password pair or user is disabled",
    )
    .await;
}

/// A broker with nobody behind it is up, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_any_worker_is_not_one_that_is_down() {
    let stage = Stage::amqp();
    stage.ask(ONE).await.expect(&[
        ("ping", "ping: no worker is connected (no queue high_priority)"),
        ("queues.high_priority", "queue: high_priority does not exist"),
    ]);
    let stage = Stage::redis();
    stage.ask(ONE).await.expect(&[
        ("ping", "ping: no worker is connected (0 messages waiting on high_priority)"),
        ("queues.high_priority", "queue: no worker is connected (0 messages waiting)"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_broker_is_cut_where_it_is_silent() {
    for (stage, step) in [(Stage::amqp(), "ask"), (Stage::redis(), "ask")] {
        let celery = stage.celery(ONE);
        ask(&celery, PATIENCE).await;
        pause(&stage.broker);
        let expected = format!("{step}: no answer within 1s");
        let report = ask(&celery, MOMENT).await;
        report.expect(&[("ping", &expected), ("queues.high_priority", &expected)]);
        resume(&stage.broker);
    }
}

/// The worker needs a while to find its broker again; from then on every run is well.
async fn a_restarted_broker(mut stage: Stage) {
    let _worker = stage.worker("w1");
    let celery = stage.celery(ONE);
    ask(&celery, PATIENCE).await.expect_working();
    match &mut stage.broker {
        Broker::Amqp(rabbit) => rabbit.server.restart().unwrap(),
        Broker::Redis(redis) => redis.server.restart().unwrap(),
    }
    let begun = Instant::now();
    // Whether it is back is asked on connections of its own.
    while stage.ask(ONE).await.said("queues.high_priority") != "working" {
        assert!(begun.elapsed() < Duration::from_mins(1), "the worker did not come back");
    }
    ask(&celery, PATIENCE).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_broker_is_no_alarm_on_amqp() {
    a_restarted_broker(Stage::amqp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_broker_is_no_alarm_on_redis() {
    a_restarted_broker(Stage::redis()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_is_told() {
    let stage = Stage::amqp();
    let _worker = stage.worker("w1");
    let celery = stage.celery(ONE);
    ask(&celery, PATIENCE).await.expect_working();
    let Broker::Amqp(rabbit) = &stage.broker else { panic!("a RabbitMQ") };
    rabbit.ctl(&["set_vm_memory_high_watermark", "0.0000001"]).unwrap();
    let alarm = "ask: resource alarm: the broker blocks publishers: low on memory";
    let report = ask(&celery, PATIENCE).await;
    report.expect(&[("ping", alarm), ("queues.high_priority", alarm)]);
    rabbit.ctl(&["set_vm_memory_high_watermark", "0.9"]).unwrap();
    // The broker tells the end of it a moment after its tool has returned.
    let begun = Instant::now();
    while ask(&celery, PATIENCE).await.said("ping") != "working" {
        assert!(begun.elapsed() < PATIENCE, "the end of the alarm is not seen");
    }
}

fn pause(broker: &Broker) {
    match broker {
        Broker::Amqp(rabbit) => rabbit.server.pause(),
        Broker::Redis(redis) => redis.server.pause(),
    }
}

fn resume(broker: &Broker) {
    match broker {
        Broker::Amqp(rabbit) => rabbit.server.resume(),
        Broker::Redis(redis) => redis.server.resume(),
    }
}

/// The way back is not made for each question; one that somebody removes is made again after one question in vain.
#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_that_was_removed_is_made_again() {
    let stage = Stage::amqp();
    let _worker = stage.worker("w1");
    let Broker::Amqp(rabbit) = &stage.broker else { panic!("a RabbitMQ") };
    let celery = stage.celery("");
    ask(&celery, PATIENCE).await.expect_working();
    let exchange = "rabbit_misc:r(<<\"app\">>, exchange, <<\"reply.celery.pidbox\">>)";
    let remove = "rabbit_binding:remove(B, fun(_, _) -> ok end, <<\"somebody\">>)";
    let removed = format!("[{remove} || B <- rabbit_binding:list_for_source({exchange})].");
    assert!(rabbit.ctl(&["eval", &removed]).unwrap().contains("ok"));
    let report = ask(&celery, MOMENT).await;
    assert_eq!(report.said("ping"), "ping: no worker answered within 1s");
    ask(&celery, PATIENCE).await.expect_working();
}
