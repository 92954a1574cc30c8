//! Canary tasks that return, get stuck, or cannot report their result.

use std::time::Duration;

use probe::SharedResources;
use probe_celery::KIND;
use probe_testkit::{FaultProxy, checks, component, component_sharing, run};
use stack::celery::{App, Pool};
use stack::redis::Redis;

use crate::fixture::{Fixture, run_all};
use crate::{SHORT_TIMEOUT, TIMEOUT};

const CANARY: &str = "canary = true\nqueues = ['high_priority']\n";

/// The scenarios with one worker.
async fn one_worker(fixture: Fixture) {
    let _worker = fixture.worker("w1");
    a_stuck_child_is_detected_by_the_canary(&fixture).await;
    if fixture.is_redis() {
        a_result_backend_that_is_down_is_reported_with_its_own_address(&fixture).await;
        canaries_leave_no_key_and_no_message(&fixture).await;
        there_are_never_more_than_three_canaries_in_a_queue(&fixture).await;
        fixture.wait_until_empty().await;
        a_lost_canary_delays_no_recovery(&fixture).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_of_a_canary_is_reported_on_amqp() {
    one_worker(Fixture::amqp().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_of_a_canary_is_reported_on_redis() {
    one_worker(Fixture::redis()).await;
}

/// A stuck child takes nothing from its queue, although its parent replies.
async fn a_stuck_child_is_detected_by_the_canary(fixture: &Fixture) {
    let celery = fixture.celery(CANARY);
    run_all(&celery, TIMEOUT).await.expect_working();
    let hold = fixture.app.hold("high_priority").unwrap();
    let outcomes = run_all(&celery, SHORT_TIMEOUT).await;
    assert_eq!(outcomes.line("ping"), "working");
    let line = outcomes.line("queues.high_priority");
    assert!(line.starts_with("canary: no task came back within 1s ("), "{line}");
    // The next run sends another, and waits for both.
    let line = run_all(&celery, SHORT_TIMEOUT).await.line("queues.high_priority");
    assert!(line.starts_with("canary: none of 2 tasks came back, the first sent "), "{line}");
    assert!(line.contains("s ago, within 1s ("), "{line}");
    drop(hold);
    run_all(&celery, TIMEOUT).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_on_amqp_works_with_a_result_backend_on_redis() {
    let redis = Redis::start(&[]).unwrap();
    let results = format!("redis://127.0.0.1:{}/0", redis.port());
    let fixture = Fixture::amqp().await;
    let app = App::new(&fixture.broker_url, &results).unwrap();
    let fixture = Fixture { app, result_backend: results, ..fixture };
    let _worker = fixture.worker("w1");
    let celery = fixture.celery(CANARY);
    for _ in 0..10 {
        run_all(&celery, TIMEOUT).await.expect_working();
    }
    assert_eq!(redis.command(&["KEYS", "*"]).unwrap(), "");
}

async fn a_result_backend_that_is_down_is_reported_with_its_own_address(fixture: &Fixture) {
    let closed = stack::free_port().unwrap();
    let section = format!(
        "broker = 'redis://127.0.0.1:{}/1'\nresult_backend = 'redis://127.0.0.1:{closed}'\n{CANARY}",
        fixture.port()
    );
    let outcomes = run_all(&component(&KIND, "celery", &section), TIMEOUT).await;
    assert_eq!(
        outcomes.line("queues.high_priority"),
        format!("result backend: connect: connection refused (127.0.0.1:{closed})")
    );
}

async fn canaries_leave_no_key_and_no_message(fixture: &Fixture) {
    let redis = fixture.server();
    let keys = || {
        let keys = ["1", "2"].map(|database| redis.command(&["-n", database, "KEYS", "*"]));
        let keys =
            keys.map(|keys| keys.unwrap().lines().map(ToOwned::to_owned).collect::<Vec<_>>());
        keys.concat()
    };
    let before = keys();
    let celery = fixture.celery(CANARY);
    for _ in 0..100 {
        run_all(&celery, TIMEOUT).await.expect_working();
    }
    // The clean-up after a reply happens in the background.
    redis.wait_for(&["-n", "1", "EXISTS", "_kombu.binding.reply.celery.pidbox"], "0").unwrap();
    // Results that came too late for an earlier run expire meanwhile.
    let new: Vec<_> = keys().into_iter().filter(|key| !before.contains(key)).collect();
    assert_eq!(new, [""; 0]);
}

async fn there_are_never_more_than_three_canaries_in_a_queue(fixture: &Fixture) {
    let redis = fixture.server();
    let celery = fixture.celery(CANARY);
    run_all(&celery, TIMEOUT).await.expect_working();
    let hold = fixture.app.hold("high_priority").unwrap();
    // Fills the worker's prefetch.
    fixture.app.send("high_priority", 30, 0).unwrap();
    let before: u32 =
        redis.command(&["-n", "1", "LLEN", "high_priority"]).unwrap().parse().unwrap();
    for _ in 0..5 {
        let line = run_all(&celery, Duration::from_millis(300)).await.line("queues.high_priority");
        assert!(line.starts_with("canary: "), "{line}");
    }
    let after: u32 = redis.command(&["-n", "1", "LLEN", "high_priority"]).unwrap().parse().unwrap();
    assert_eq!(after, before + 3);
    drop(hold);
    run_all(&celery, TIMEOUT).await.expect_working();
}

/// A canary is lost when its queue is purged.
async fn a_lost_canary_delays_no_recovery(fixture: &Fixture) {
    let redis = fixture.server();
    let celery = fixture.celery(CANARY);
    run_all(&celery, TIMEOUT).await.expect_working();
    let hold = fixture.app.hold("high_priority").unwrap();
    // Fills the worker's prefetch, so that the canary stays in the queue.
    fixture.app.send("high_priority", 30, 0).unwrap();
    let line = run_all(&celery, SHORT_TIMEOUT).await.line("queues.high_priority");
    assert!(line.starts_with("canary: no task came back within 1s ("), "{line}");
    redis.command(&["-n", "1", "DEL", "high_priority"]).unwrap();
    drop(hold);
    run_all(&celery, TIMEOUT).await.expect_working();
}

/// Workers without remote control do not reply, but take tasks.
#[tokio::test(flavor = "multi_thread")]
async fn the_canary_decides_where_remote_control_is_off() {
    const OFF: &str = r#"{"worker_enable_remote_control": false}"#;
    let fixture = Fixture::amqp_with(OFF).await;
    let _worker = fixture.worker("w1");
    let without = fixture.run("queues = ['high_priority']\n").await;
    let reason = "no consumer takes part in remote control, see `worker_enable_remote_control` and `control_exchange`";
    without.expect(&[
        ("ping", &format!("ping: {reason} (1 consumer on high_priority, 0 messages waiting)")),
        ("queues.high_priority", &format!("queue: {reason} (1 consumer, 0 messages waiting)")),
    ]);
    fixture.run(&format!("workers = 0\n{CANARY}")).await.expect_working();
}

/// The scenario of a queue that is jammed while the connection to the broker is replaced several times, with at most this many connections left open after each run.
async fn a_jammed_queue_fails_no_other_check(result_backend: &str, max_connections: usize) {
    let fixture = Fixture::amqp().await;
    let app = App::new(&fixture.broker_url, result_backend).unwrap();
    let worker = |name, queue| app.worker(name, Pool::Prefork, &[queue]).unwrap();
    let _workers = [worker("w1", "high_priority"), worker("w2", "low_priority")];
    let proxy = FaultProxy::start(([127, 0, 0, 1], fixture.port()).into());
    let url = fixture
        .broker_url
        .replace(&format!(":{}/", fixture.port()), &format!(":{}/", proxy.address().port()));
    let shared = SharedResources::default();
    let section = format!(
        "broker = '{url}'\nresult_backend = '{result_backend}'\nreconnect = '300ms'\n\
         canary = true\nqueues = ['high_priority', 'low_priority']\n"
    );
    let celery = component_sharing(&KIND, "celery", &section, &shared);
    let section = format!("url = '{url}'\nreconnect = '300ms'\n");
    let rabbit = component_sharing(&probe_rabbit::KIND, "rabbit", &section, &shared);
    let (_, rabbit) = checks(&rabbit).pop().unwrap();
    run_all(&celery, TIMEOUT).await.expect_working();
    let hold = app.hold("high_priority").unwrap();
    while proxy.counts().accepted < 8 {
        let outcomes = run_all(&celery, SHORT_TIMEOUT).await;
        outcomes.expect(&[("ping", "working"), ("queues.low_priority", "working")]);
        let line = outcomes.line("queues.high_priority");
        assert!(line.starts_with("canary: no") && line.contains(" came back"), "{line}");
        run(&rabbit, TIMEOUT).await.expect_working();
        // A connection that was replaced is closed in the background.
        proxy.wait_until("few connections", |counts| counts.open <= max_connections).await;
    }
    drop(hold);
    run_all(&celery, TIMEOUT).await.expect_working();
}

/// A canary in flight keeps one connection open besides the current one.
#[tokio::test(flavor = "multi_thread")]
async fn a_jammed_queue_fails_no_other_check_on_its_broker() {
    a_jammed_queue_fails_no_other_check("rpc://", 2).await;
}

/// The connection to the broker is not needed for results in Redis.
#[tokio::test(flavor = "multi_thread")]
async fn a_jammed_queue_with_results_in_redis_keeps_no_old_connection() {
    let redis = Redis::start(&[]).unwrap();
    a_jammed_queue_fails_no_other_check(&format!("redis://127.0.0.1:{}/0", redis.port()), 1).await;
}
