//! Resource alarms, which stop publishers and nobody else.

use std::time::Instant;

use probe_testkit::run;
use stack::rabbit::Rabbit;

use crate::{PATIENCE, check, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_is_seen_at_once_and_its_end_as_well() {
    let broker = Rabbit::start(&[]).unwrap();
    let url = format!("url = '{}'", broker.admin_url());
    let rabbit = check(&url);
    run(&rabbit, PATIENCE).await.expect_working();
    broker.ctl(&["set_vm_memory_high_watermark", "0.0000001"]).unwrap();
    let told = format!(
        "publish: resource alarm: the broker blocks publishers: low on memory (127.0.0.1:{})",
        broker.port()
    );
    // On the connection that was there, on it again, and on a new one.
    assert_eq!(run(&rabbit, PATIENCE).await.line(), told);
    assert_eq!(run(&rabbit, PATIENCE).await.line(), told);
    assert_eq!(outcome(&url).await.line(), told);
    broker.ctl(&["set_vm_memory_high_watermark", "0.9"]).unwrap();
    outcome(&url).await.expect_working();
    // The connection that was there learns it when the broker tells, a moment after its tool has returned.
    let begun = Instant::now();
    while !run(&rabbit, PATIENCE).await.is_working() {
        assert!(begun.elapsed() < PATIENCE, "the end of the alarm is not seen");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_alarm_is_told_as_such() {
    let broker = Rabbit::start(&[]).unwrap();
    broker.ctl(&["set_disk_free_limit", "1000000000000000"]).unwrap();
    let line = outcome(&format!("url = '{}'", broker.admin_url())).await.line().to_owned();
    assert!(
        line.starts_with("publish: resource alarm: the broker blocks publishers: low on disk"),
        "{line}"
    );
}
