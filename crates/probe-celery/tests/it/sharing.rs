//! One question for all checks of a run, one connection with whoever uses the same broker, and an answer in good time.

use probe::SharedResources;
use probe_celery::KIND;
use probe_testkit::{FaultProxy, component_sharing};
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use crate::PATIENCE;
use crate::stage::{Broker, Stage, ask};

/// How many questions a run puts, whatever the number of its checks.
#[tokio::test(flavor = "multi_thread")]
async fn all_checks_of_a_run_share_one_question() {
    let stage = Stage::redis();
    let _worker = stage.worker("w1");
    let Broker::Redis(redis) = &stage.broker else { panic!("a Redis") };
    let celery = stage.celery("queues = ['high_priority', 'low_priority']");
    // Each question opens a way back for its answers.
    let questions = || -> u32 {
        let stats = redis.ask(&["INFO", "commandstats"]).unwrap();
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_sadd:calls="));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    };
    let before = questions();
    for _ in 0..20 {
        ask(&celery, PATIENCE).await.expect_working();
    }
    assert_eq!(questions() - before, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_with_the_same_broker_share_its_connection() {
    let proxy = FaultProxy::start(stack::rabbit::shared().unwrap());
    let broker =
        format!("amqp://{HEALTH_USER}:{HEALTH_PASSWORD}@{}/{RABBIT_VHOST}", proxy.address());
    let shared = SharedResources::default();
    let toml = format!("broker = '{broker}'\nqueues = ['high_priority']\n");
    let sections = ["celery", "other"].map(|name| component_sharing(&KIND, name, &toml, &shared));
    for section in &sections {
        ask(section, PATIENCE).await.expect_working();
    }
    assert_eq!(proxy.counts().accepted, 1);
}
