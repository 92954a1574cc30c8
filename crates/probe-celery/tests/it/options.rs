//! Transport options that change the names of keys and channels, and another control exchange.

use crate::TIMEOUT;
use crate::fixture::{Fixture, run_all};

const CANARY: &str = "canary = true\nqueues = ['high_priority', 'low_priority']\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_option_that_changes_a_name_is_honoured() {
    let fixture = Fixture::redis_with(
        r#"{
            "control_exchange": "control",
            "broker_transport_options": {
                "global_keyprefix": "app:",
                "fanout_prefix": "/fanout-{db}.",
                "sep": ":",
                "priority_steps": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
            },
            "result_backend_transport_options": {"global_keyprefix": "app"}
        }"#,
    );
    let _worker = fixture.worker("w1");
    let redis = fixture.server();
    let options = "control_exchange = 'control'\n\
         [transport_options]\n\
         global_keyprefix = 'app:'\n\
         fanout_prefix = '/fanout-{db}.'\n\
         priority_steps = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]\n\
         visibility_timeout = 43200\n\
         [result_backend_transport_options]\n\
         global_keyprefix = 'app'\n";
    let celery = fixture.celery(&format!("{CANARY}{options}"));
    run_all(&celery, TIMEOUT).await.expect_working();
    // Without the options, the worker and its messages are elsewhere.
    assert!(fixture.run(CANARY).await.line("ping").starts_with("ping: no worker is connected"));
    let waiting = (0..10).map(|step| match step {
        0 => "app:idle".to_owned(),
        step => format!("app:idle:{step}"),
    });
    for list in waiting {
        redis.command(&["-n", "1", "RPUSH", &list, "a message"]).unwrap();
    }
    let idle = format!("queues = ['idle']\n{options}");
    assert_eq!(
        fixture.run(&idle).await.line("queues.idle"),
        "queue: no worker consumes idle (10 messages waiting, 1 other worker answered)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_control_exchange_is_honoured_on_amqp() {
    let fixture = Fixture::amqp_with(r#"{"control_exchange": "control"}"#).await;
    let _worker = fixture.worker("w1");
    fixture.run(&format!("control_exchange = 'control'\n{CANARY}")).await.expect_working();
    let line = fixture.run(CANARY).await.line("ping");
    assert!(line.starts_with("ping: no consumer takes part in remote control, see "), "{line}");
}
