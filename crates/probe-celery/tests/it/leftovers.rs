//! Runs leave nothing behind on the broker, whether they succeed or are cut off.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use probe::DynChecks;
use probe_celery::KIND;
use probe_testkit::{component, cut_at_random};
use stack::celery::{Release, Worker};
use stack::redis::Redis;

use crate::fixture::{Broker, Fixture, run_all};
use crate::relay::{Then, relay};
use crate::{SHORT_TIMEOUT, TIMEOUT};

const ALL: &str = "canary = true\nqueues = ['high_priority', 'low_priority']\n";

#[tokio::test(flavor = "multi_thread")]
async fn runs_leave_nothing_on_amqp() {
    let fixture = Fixture::private_amqp();
    let _worker = fixture.worker("w1");
    let rabbit = fixture.rabbit();
    let celery = warm(&fixture).await;
    let queues = || rabbit.ctl(&["list_queues", "-p", "app", "name", "messages"]).unwrap();
    let connected = rabbit.counts().unwrap();
    let before = queues();
    for _ in 0..100 {
        run_all(&celery, TIMEOUT).await.expect_working();
    }
    assert_eq!((rabbit.counts().unwrap(), queues()), (connected, before));
    cut_at_random(KIND, "celery", fixture.section(ALL), 1000).await;
    // On a busy machine, its connection has been idle for so long that it was closed.
    run_all(&celery, TIMEOUT).await.expect_working();
    rabbit.wait_for(connected).unwrap();
    drop(celery);
    rabbit
        .wait_until(|now| {
            now.connections == connected.connections - 1 && now.queues == connected.queues - 1
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_leave_nothing_on_redis() {
    let fixture = Fixture::redis();
    let worker = fixture.worker("w1");
    drop(warm(&fixture).await);
    a_thousand_runs_cut_at_random_leave_nothing(&fixture).await;
    reply_queues_of_killed_processes_are_removed_and_no_others(&fixture).await;
    the_queue_of_a_run_without_replies_is_unbound_and_expires(&fixture, &worker).await;
    nothing_is_bound_while_the_separator_is_unknown(&fixture, &worker).await;
}

async fn a_thousand_runs_cut_at_random_leave_nothing(fixture: &Fixture) {
    let redis = fixture.server();
    cut_at_random(KIND, "celery", fixture.section(ALL), 1000).await;
    assert_eq!(own_keys_without_expiry(redis, "1"), [""; 0]);
    assert_eq!(redis.command(&["-n", "2", "KEYS", "*health-gateway*"]).unwrap(), "");
    redis.wait_for(&["-n", "1", "EXISTS", "_kombu.binding.reply.celery.pidbox"], "0").unwrap();
}

/// A section that has run once, so that the worker has opened the connections on which it replies.
async fn warm(fixture: &Fixture) -> DynChecks {
    let celery = fixture.celery(ALL);
    run_all(&celery, TIMEOUT).await.expect_working();
    celery
}

async fn reply_queues_of_killed_processes_are_removed_and_no_others(fixture: &Fixture) {
    let redis = fixture.server();
    let table = "_kombu.binding.reply.celery.pidbox";
    let list = |name| format!("health-gateway.{name}.reply.celery.pidbox");
    let binding = |name| format!("health-gateway.{name}\x06\x16\x06\x16{}", list(name));
    let of_celery = "of-celery\x06\x16\x06\x16its-list";
    // The first list has expired, the second consists of a late reply, the third is in use.
    for binding in [binding("a"), binding("b"), binding("c"), of_celery.to_owned()] {
        redis.command(&["-n", "1", "SADD", table, &binding]).unwrap();
    }
    redis.command(&["-n", "1", "RPUSH", &list("b"), "a late reply"]).unwrap();
    redis.command(&["-n", "1", "SET", &list("c"), "", "EX", "60"]).unwrap();
    fixture.run("").await.expect_working();
    redis.wait_for(&["-n", "1", "SCARD", table], "2").unwrap();
    let left = redis.command(&["-n", "1", "SMEMBERS", table]).unwrap();
    assert!(left.contains("health-gateway.c") && left.contains("of-celery"), "{left}");
    assert_eq!(redis.command(&["-n", "1", "EXISTS", &list("b")]).unwrap(), "0");
    redis.command(&["-n", "1", "DEL", table, &list("c")]).unwrap();
}

/// A worker pushes to a list that it has looked up before the list was unbound, so every list expires.
async fn the_queue_of_a_run_without_replies_is_unbound_and_expires(
    fixture: &Fixture,
    worker: &Worker,
) {
    let redis = fixture.server();
    let celery = fixture.celery("");
    run_all(&celery, TIMEOUT).await.expect_working();
    worker.server.pause();
    let cut = run_all(&celery, SHORT_TIMEOUT).await;
    assert_eq!(cut.line("ping"), "ping: no worker answered within 1s");
    redis.wait_for(&["-n", "1", "EXISTS", "_kombu.binding.reply.celery.pidbox"], "0").unwrap();
    // The worker finds no binding.
    worker.server.resume();
    run_all(&celery, TIMEOUT).await.expect_working();
    assert_eq!(own_keys_without_expiry(redis, "1"), [""; 0]);
}

/// A binding with another separator makes a worker fail whenever it looks up a binding of the reply exchange.
#[tokio::test(flavor = "multi_thread")]
async fn bindings_have_the_separator_of_the_workers() {
    let fixture = Fixture::redis_with(r#"{"broker_transport_options": {"sep": ":"}}"#);
    let (_first, second) = (fixture.worker("w1"), fixture.worker("w2"));
    let redis = fixture.server();
    let celery = fixture.celery("workers = 2\n");
    run_all(&celery, TIMEOUT).await.expect_working();
    // The queue stays bound while the run waits for the second worker.
    second.server.pause();
    let run = tokio::spawn(async move { run_all(&celery, TIMEOUT).await });
    redis.wait_for(&["-n", "1", "SCARD", "_kombu.binding.reply.celery.pidbox"], "1").unwrap();
    fixture.app.expect_reply().unwrap();
    second.server.resume();
    run.await.unwrap().expect_working();
    // Bindings of workers that were killed before the option was changed.
    let stale =
        "for n = 1, 50 do redis.call('SADD', KEYS[1], '||w' .. n .. '@old.celery.pidbox') end";
    redis.command(&["-n", "1", "EVAL", stale, "1", "_kombu.binding.celery.pidbox"]).unwrap();
    for lines in ["workers = 2\n", "workers = 2\n[transport_options]\nsep = ':'\n"] {
        fixture.run(lines).await.expect_working();
        fixture.app.expect_reply().unwrap();
    }
    assert_eq!(own_keys_without_expiry(redis, "1"), [""; 0]);
}

/// After the bindings have been lost, the workers' separator is unknown.
async fn nothing_is_bound_while_the_separator_is_unknown(fixture: &Fixture, worker: &Worker) {
    let redis = fixture.server();
    redis.command(&["-n", "1", "FLUSHDB"]).unwrap();
    let celery = fixture.celery("");
    run_all(&celery, TIMEOUT).await.expect_working();
    worker.server.pause();
    run_all(&celery, SHORT_TIMEOUT).await;
    let keys = keys(redis);
    assert!(!keys.iter().any(|key| key.contains("_kombu")), "{keys:?}");
    worker.server.resume();
    run_all(&celery, TIMEOUT).await.expect_working();
    assert_eq!(own_keys_without_expiry(redis, "1"), [""; 0]);
}

/// Each command is sent while the broker executes no writes for more than a quarter of the timeout, after which other commands are sent again.
///
/// The selection of another database than 0 would be answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_pauses_gets_every_canary_and_every_request_once() {
    let redis = Redis::start(&[]).unwrap();
    let url = |database| format!("redis://127.0.0.1:{}/{database}", redis.port());
    let (broker, results) = (url(0), url(2));
    let fixture = Fixture::new(Release::Current, Broker::Redis(redis), broker, results, "{}");
    let fixture = Arc::new(fixture);
    let (redis, worker) = (fixture.server(), fixture.worker("w1"));
    for command in ["LPUSH", "PUBLISH"] {
        let broker = fixture.clone();
        let pause = move |_: &str| {
            let pause = ["CLIENT", "PAUSE", "3500", "WRITE"];
            assert_eq!(broker.server().command(&pause).unwrap(), "OK");
            Then::Continue
        };
        let (address, count) = relay(fixture.port(), command, pause).await;
        let received = || {
            let log = worker.log().unwrap();
            let is_canary = |line: &&str| line.contains("Task celery.accumulate[");
            log.lines().filter(is_canary).filter(|line| line.ends_with("received")).count()
        };
        let before = received();
        run_all(&through(&fixture, address, 0), TIMEOUT / 2).await.expect_working();
        assert_eq!(count.load(Ordering::SeqCst), 1, "{command}");
        redis.wait_for(&["EXISTS", "high_priority", "unacked"], "0").unwrap();
        assert_eq!(received() - before, 1, "{command}");
        assert_eq!(own_keys_without_expiry(redis, "0"), [""; 0]);
        assert_eq!(redis.command(&["-n", "2", "KEYS", "*health-gateway*"]).unwrap(), "");
    }
}

/// The broker has received the first canary, but its answer is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_whose_sending_failed_is_withdrawn_and_its_result_is_deleted() {
    let fixture = Fixture::redis();
    let redis = fixture.server();
    let (results, result) = mpsc::channel();
    let lose = move |sent: &str| {
        let id = sent.split("health-gateway-").nth(1).unwrap();
        results.send(format!("celery-task-meta-health-gateway-{}", &id[..32])).unwrap();
        Then::Close
    };
    let (address, count) = relay(fixture.port(), "LPUSH", lose).await;
    let celery = through(&fixture, address, 1);
    // No worker takes the task that is sent in its place.
    let line = run_all(&celery, SHORT_TIMEOUT).await.line("queues.high_priority");
    assert!(line.starts_with("canary: no task came back within 1s ("), "{line}");
    assert_eq!(count.load(Ordering::SeqCst), 2);
    redis.wait_for(&["-n", "1", "LLEN", "high_priority"], "1").unwrap();
    let result = result.recv().unwrap();
    redis.command(&["-n", "2", "SET", &result, "a late result"]).unwrap();
    run_all(&celery, SHORT_TIMEOUT).await;
    redis.wait_for(&["-n", "2", "EXISTS", &result], "0").unwrap();
}

/// The replies of a large fleet are larger together than the client accepts in one answer.
#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_replies_is_read() {
    let fixture = Arc::new(Fixture::redis());
    let _worker = fixture.worker("w1");
    let broker = fixture.clone();
    let fill = move |sent: &str| {
        let list = sent.split("\r\n").find(|part| part.ends_with(".reply.celery.pidbox"));
        let push = "for _ = 1, 3000 do redis.call('RPUSH', KEYS[1], string.rep('x', 1000)) end";
        broker.server().command(&["-n", "1", "EVAL", push, "1", list.unwrap()]).unwrap();
        Then::Continue
    };
    let (address, _) = relay(fixture.port(), "PUBLISH", fill).await;
    run_all(&through(&fixture, address, 1), TIMEOUT).await.expect_working();
}

/// The bindings of many Celery clients are larger together than the client accepts in one answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_queue_is_found_among_any_number_of_bindings() {
    let fixture = Fixture::redis();
    let (redis, table) = (fixture.server(), "_kombu.binding.reply.celery.pidbox");
    let add = "for n = 1, 30000 do redis.call('SADD', KEYS[1], 'client-' .. n .. '\x06\x16\x06\x16list-of-the-client-' .. n) end";
    redis.command(&["-n", "1", "EVAL", add, "1", table]).unwrap();
    let abandoned = "health-gateway.a\x06\x16\x06\x16health-gateway.a.reply.celery.pidbox";
    redis.command(&["-n", "1", "SADD", table, abandoned]).unwrap();
    let outcomes = fixture.run("").await;
    assert_eq!(outcomes.line("ping"), "ping: no worker is connected");
    redis.wait_for(&["-n", "1", "SISMEMBER", table, abandoned], "0").unwrap();
    assert_eq!(redis.command(&["-n", "1", "SCARD", table]).unwrap(), "30000");
}

/// A section with a canary that reaches its broker, this database, at `address`.
fn through(fixture: &Fixture, address: SocketAddr, database: u16) -> DynChecks {
    let section = format!(
        "broker = 'redis://{address}/{database}'\nresult_backend = '{}'\n\
         canary = true\nqueues = ['high_priority']\n",
        fixture.result_backend
    );
    component(&KIND, "celery", &section)
}

/// The gateway's keys in the broker's database that do not expire.
fn own_keys_without_expiry(redis: &Redis, database: &str) -> Vec<String> {
    let keys = redis.command(&["-n", database, "KEYS", "health-gateway*"]).unwrap();
    let lasts = |key: &&str| redis.command(&["-n", database, "PTTL", key]).unwrap() == "-1";
    keys.lines().filter(lasts).map(str::to_owned).collect()
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
