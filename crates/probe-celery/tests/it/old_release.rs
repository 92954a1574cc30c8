//! Celery 5.3 with kombu 5.3, the oldest that still gets fixes, behind Sentinel.

use stack::celery::Release;
use stack::redis::Redis;

use crate::fixture::{Broker, Fixture, run_all};
use crate::{SHORT_TIMEOUT, TIMEOUT};

/// The settings of the application, which the section repeats.
const SETTINGS: &str = r#"{
    "broker_transport_options": {"master_name": "app"},
    "result_backend_transport_options": {"master_name": "app"}
}"#;
const OPTIONS: &str = "[transport_options]\n\
     master_name = 'app'\n\
     sentinel_kwargs = {socket_timeout = 1}\n\
     [result_backend_transport_options]\n\
     master_name = 'app'\n";

/// With Sentinel, kombu before 5.4 listens on the channel `/{db}.celery.pidbox`, without the number of the database in it.
#[tokio::test(flavor = "multi_thread")]
async fn workers_of_celery_5_3_behind_sentinel_are_working() {
    let (primary, closed) = (Redis::start(&[]).unwrap(), stack::free_port().unwrap());
    let monitor = format!("sentinel monitor app 127.0.0.1 {} 1", primary.port());
    let sentinel = Redis::start_sentinel(&[&monitor]).unwrap();
    // The first sentinel is down.
    let url = |database: u8| {
        let [first, second] =
            [closed, sentinel.port()].map(|port| format!("sentinel://127.0.0.1:{port}/{database}"));
        format!("{first};{second}")
    };
    let (broker, results) = (url(1), url(2));
    let fixture = Fixture::new(Release::Old, Broker::Redis(primary), broker, results, SETTINGS);
    let worker = fixture.worker("w1");
    let lines = |more: &str| format!("{more}queues = ['high_priority', 'low_priority']\n{OPTIONS}");
    let (inspect, canary) = (fixture.celery(&lines("")), fixture.celery(&lines("canary = true\n")));
    for celery in [&inspect, &canary] {
        run_all(celery, TIMEOUT).await.expect_working();
    }
    let listeners = fixture.server().command(&["PUBLISH", "/1.celery.pidbox", ""]).unwrap();
    assert_eq!(listeners, "0", "the workers listen on the channel of later versions");
    let named = format!("workers = ['{}']\n{OPTIONS}", worker.name());
    fixture.run(&named).await.expect_working();
    drop(worker);
    for priority in [0, 3, 6, 9] {
        fixture.app.send("high_priority", 2, priority).unwrap();
    }
    let outcomes = run_all(&fixture.celery(&lines("max_messages = 7\n")), TIMEOUT).await;
    assert_eq!(
        outcomes.line("queues.high_priority"),
        "queue: 8 messages waiting on high_priority, expected at most 7"
    );
}

/// The message of a canary demands its result, which later releases store in spite of the setting.
#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_ignores_results_is_named() {
    const CANARY: &str = "canary = true\nqueues = ['high_priority']\n";
    let application = |release| {
        let redis = Redis::start(&[]).unwrap();
        let url = |database| format!("redis://127.0.0.1:{}/{database}", redis.port());
        let (broker, results) = (url(1), url(2));
        let settings = r#"{"task_ignore_result": true}"#;
        Fixture::new(release, Broker::Redis(redis), broker, results, settings)
    };
    let (old, current) = (application(Release::Old), application(Release::Current));
    let _workers = [old.worker("w1"), current.worker("w1")];
    run_all(&old.celery(CANARY), SHORT_TIMEOUT).await.expect(&[
        ("ping", "working"),
        (
            "queues.high_priority",
            "canary: no task came back within 1s (0 messages waiting; none has ever succeeded, see `task_ignore_result`)",
        ),
    ]);
    current.run(CANARY).await.expect_working();
}
