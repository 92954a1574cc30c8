//! Brokers that are down, silent, restarted or refuse the login.

use std::time::{Duration, Instant};

use probe_celery::KIND;
use probe_testkit::component;
use stack::RABBIT_VHOST;
use stack::celery::Pool;
use stack::rabbit::{self, ADMIN_PASSWORD, ADMIN_USER};
use stack::redis::Redis;

use crate::fixture::{Broker, Fixture, run_all};
use crate::{SHORT_TIMEOUT, TIMEOUT};

const ONE: &str = "queues = ['high_priority']\n";

/// Expects every check of a section with this broker to fail with `expected`.
async fn expect_all(broker: &str, expected: &str) {
    let celery = component(&KIND, "celery", &format!("broker = '{broker}'\n{ONE}"));
    let outcomes = run_all(&celery, TIMEOUT).await;
    outcomes.expect(&[("ping", expected), ("queues.high_priority", expected)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_connections_is_reported() {
    let closed = stack::free_port().unwrap();
    for scheme in ["amqp", "redis"] {
        let broker = format!("{scheme}://127.0.0.1:{closed}");
        expect_all(&broker, "connect: connection refused").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_is_reported() {
    let broker = rabbit::shared().unwrap();
    let user = format!("amqp://{ADMIN_USER}");
    expect_all(
        &format!("{user}:wrong-password@{broker}/{RABBIT_VHOST}"),
        "authenticate: ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile",
    )
    .await;
    expect_all(
        &format!("{user}:{ADMIN_PASSWORD}@{broker}/{RABBIT_VHOST}-not"),
        "virtual host: NOT_ALLOWED - vhost app-not not found",
    )
    .await;
    let redis = Redis::start(&["requirepass right-password"]).unwrap();
    expect_all(
        &format!("redis://:wrong-password@127.0.0.1:{}/0", redis.port()),
        "authenticate: WRONGPASS invalid username-password pair or user is disabled",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_workers_is_distinguished_from_one_that_is_down() {
    let fixture = Fixture::amqp().await;
    fixture.run(ONE).await.expect(&[
        ("ping", "ping: no worker is connected (no queue high_priority)"),
        ("queues.high_priority", "queue: high_priority does not exist"),
    ]);
    let fixture = Fixture::redis();
    fixture.run(ONE).await.expect(&[
        ("ping", "ping: no worker is connected (0 messages waiting on high_priority)"),
        ("queues.high_priority", "queue: no worker is connected (0 messages waiting)"),
    ]);
}

/// With 20 queues, the reply of a worker takes several of the smallest frames.
#[tokio::test(flavor = "multi_thread")]
async fn the_lowest_limits_of_a_broker_are_kept() {
    let fixture =
        Fixture::private_amqp_with(&["frame_max = 4096", "channel_max = 16", "heartbeat = 2"]);
    let queues: Vec<_> = (0..20).map(|number| format!("queue_{number}")).collect();
    let names: Vec<_> = queues.iter().map(String::as_str).collect();
    let _worker = fixture.app.worker("w1", Pool::Prefork, &names).unwrap();
    fixture.run(&format!("queues = {queues:?}\n")).await.expect_working();
    fixture.run("canary = true\nqueues = ['queue_0']\n").await.expect_working();
}

/// The scenarios with one worker on a broker that is disturbed.
async fn a_disturbed_broker(mut fixture: Fixture) {
    let _worker = fixture.worker("w1");
    if !fixture.is_redis() {
        a_removed_reply_binding_is_restored(&fixture).await;
        a_memory_alarm_is_reported(&fixture).await;
    }
    a_silent_broker_times_out_in_the_current_step(&fixture).await;
    a_restarted_broker_causes_no_failure(&mut fixture).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_disturbance_is_reported_on_amqp() {
    a_disturbed_broker(Fixture::private_amqp()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_disturbance_is_reported_on_redis() {
    a_disturbed_broker(Fixture::redis()).await;
}

async fn a_silent_broker_times_out_in_the_current_step(fixture: &Fixture) {
    let celery = fixture.celery(ONE);
    run_all(&celery, TIMEOUT).await.expect_working();
    let server = match &fixture.broker {
        Broker::Redis(redis) => &redis.server,
        _ => &fixture.rabbit().server,
    };
    server.pause();
    let expected = "ask: no answer within 1s";
    let outcomes = run_all(&celery, SHORT_TIMEOUT).await;
    outcomes.expect(&[("ping", expected), ("queues.high_priority", expected)]);
    server.resume();
    run_all(&celery, TIMEOUT).await.expect_working();
}

/// The worker takes a while to reconnect; from then on every run succeeds.
async fn a_restarted_broker_causes_no_failure(fixture: &mut Fixture) {
    let celery = fixture.celery(ONE);
    run_all(&celery, TIMEOUT).await.expect_working();
    match &mut fixture.broker {
        Broker::Amqp(rabbit) => rabbit.server.restart().unwrap(),
        Broker::Redis(redis) => redis.server.restart().unwrap(),
        Broker::Shared(_) => panic!("expected a private broker"),
    }
    let started = Instant::now();
    // Each poll builds new checks, so that those of `celery` run only once the worker is back.
    while fixture.run(ONE).await.line("queues.high_priority") != "working" {
        assert!(started.elapsed() < Duration::from_mins(1), "the worker did not reconnect");
    }
    run_all(&celery, TIMEOUT).await.expect_working();
}

async fn a_memory_alarm_is_reported(fixture: &Fixture) {
    let rabbit = fixture.rabbit();
    let celery = fixture.celery(ONE);
    run_all(&celery, TIMEOUT).await.expect_working();
    rabbit.ctl(&["set_vm_memory_high_watermark", "0.0000001"]).unwrap();
    let alarm = "ask: resource alarm: the broker blocks publishers: low on memory";
    let outcomes = run_all(&celery, TIMEOUT).await;
    outcomes.expect(&[("ping", alarm), ("queues.high_priority", alarm)]);
    rabbit.ctl(&["set_vm_memory_high_watermark", "0.9"]).unwrap();
    // The broker announces the end of the alarm a moment after its tool has returned.
    let started = Instant::now();
    while run_all(&celery, TIMEOUT).await.line("ping") != "working" {
        assert!(started.elapsed() < TIMEOUT, "the end of the alarm was not noticed");
    }
}

/// The reply queue is not bound for each request; if its binding is removed, one request times out and the next binds it again.
async fn a_removed_reply_binding_is_restored(fixture: &Fixture) {
    let rabbit = fixture.rabbit();
    let celery = fixture.celery("");
    run_all(&celery, TIMEOUT).await.expect_working();
    let exchange = "rabbit_misc:r(<<\"app\">>, exchange, <<\"reply.celery.pidbox\">>)";
    let remove = "rabbit_binding:remove(B, fun(_, _) -> ok end, <<\"test\">>)";
    let removed = format!("[{remove} || B <- rabbit_binding:list_for_source({exchange})].");
    assert!(rabbit.ctl(&["eval", &removed]).unwrap().contains("ok"));
    let outcomes = run_all(&celery, SHORT_TIMEOUT).await;
    assert_eq!(outcomes.line("ping"), "ping: no worker answered within 1s");
    run_all(&celery, TIMEOUT).await.expect_working();
}
