//! Resource alarms, which block only publishers.

use std::time::Instant;

use probe_testkit::run;
use stack::rabbit::Rabbit;

use crate::{DEADLINE, check, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_and_its_end_are_reported() {
    let broker = Rabbit::start(&[]).unwrap();
    let url = format!("url = '{}'", broker.admin_url());
    let rabbit = check(&url);
    run(&rabbit, DEADLINE).await.expect_working();
    broker.ctl(&["set_vm_memory_high_watermark", "0.0000001"]).unwrap();
    let expected = format!(
        "publish: resource alarm: the broker blocks publishers: low on memory (127.0.0.1:{})",
        broker.port()
    );
    // Twice on the cached connection, and once on a new one.
    assert_eq!(run(&rabbit, DEADLINE).await.line(), expected);
    assert_eq!(run(&rabbit, DEADLINE).await.line(), expected);
    assert_eq!(outcome(&url).await.line(), expected);
    broker.ctl(&["set_vm_memory_high_watermark", "0.9"]).unwrap();
    outcome(&url).await.expect_working();
    // `connection.unblocked` arrives some time after the command has returned.
    let begun = Instant::now();
    while !run(&rabbit, DEADLINE).await.is_working() {
        assert!(begun.elapsed() < DEADLINE, "the end of the alarm was not reported");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_alarm_is_reported() {
    let broker = Rabbit::start(&[]).unwrap();
    broker.ctl(&["set_disk_free_limit", "1000000000000000"]).unwrap();
    let line = outcome(&format!("url = '{}'", broker.admin_url())).await.line().to_owned();
    assert!(
        line.starts_with("publish: resource alarm: the broker blocks publishers: low on disk"),
        "{line}"
    );
    broker.ctl(&["set_disk_free_limit", "1000000"]).unwrap();
    outcome(&format!("url = '{}'", broker.admin_url())).await.expect_working();
}
