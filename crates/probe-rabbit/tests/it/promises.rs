//! The promises of the contract, and the state of the broker after many runs.

use probe_rabbit::KIND;
use probe_testkit::{Hostile, Subject, promises, run};
use stack::rabbit::{Rabbit, shared};
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use crate::{DEADLINE, check};

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_keeps_its_promises() {
    promises(Subject {
        kind: KIND,
        section: "broker",
        config: Box::new(|address| {
            format!(
                "url = 'amqp://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}/{RABBIT_VHOST}'\n\
                 [queues.high_priority]\nmin_consumers = 1\n"
            )
        }),
        upstream: shared().unwrap(),
        secrets: vec![HEALTH_PASSWORD.to_owned()],
        connections: 1,
        hostile: Hostile::amqp(),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_leave_nothing_behind() {
    let broker = Rabbit::start(&[]).unwrap();
    let before = broker.counts().unwrap();
    let rabbit = check(&format!("url = '{}'", broker.admin_url()));
    for _ in 0..100 {
        run(&rabbit, DEADLINE).await.expect_working();
    }
    assert_eq!(broker.ctl(&["list_queues", "-p", "app", "messages"]).unwrap(), "messages\n0");
    drop(rabbit);
    broker.wait_for(before).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_after_a_restart_succeeds() {
    let mut broker = Rabbit::start(&[]).unwrap();
    let rabbit = check(&format!("url = '{}'", broker.admin_url()));
    run(&rabbit, DEADLINE).await.expect_working();
    broker.server.restart().unwrap();
    run(&rabbit, DEADLINE).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_broker_times_out_in_its_step() {
    let broker = Rabbit::start(&[]).unwrap();
    let rabbit = check(&format!("url = '{}'", broker.admin_url()));
    run(&rabbit, DEADLINE).await.expect_working();
    broker.server.pause();
    assert_eq!(run(&rabbit, crate::SHORT_DEADLINE).await.timed_out_step(), "publish");
    assert_eq!(run(&rabbit, crate::SHORT_DEADLINE).await.timed_out_step(), "handshake");
    broker.server.resume();
    run(&rabbit, DEADLINE).await.expect_working();
}
