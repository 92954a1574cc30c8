//! Checks of a run share a broadcast, and sections of one broker share its connection.

use probe::SharedResources;
use probe_celery::KIND;
use probe_testkit::{FaultProxy, component_sharing};
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use crate::TIMEOUT;
use crate::fixture::{Fixture, run_all};

#[tokio::test(flavor = "multi_thread")]
async fn all_checks_of_a_run_share_one_broadcast() {
    let fixture = Fixture::redis();
    let _worker = fixture.worker("w1");
    let redis = fixture.server();
    let celery = fixture.celery("queues = ['high_priority', 'low_priority']");
    // Each broadcast binds the reply queue.
    let broadcasts = || -> u32 {
        let stats = redis.command(&["INFO", "commandstats"]).unwrap();
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_sadd:calls="));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    };
    let before = broadcasts();
    for _ in 0..20 {
        run_all(&celery, TIMEOUT).await.expect_working();
    }
    assert_eq!(broadcasts() - before, 20);
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
        run_all(section, TIMEOUT).await.expect_working();
    }
    assert_eq!(proxy.counts().accepted, 1);
}
