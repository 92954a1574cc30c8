//! URLs of other clients, and those of several brokers.

use probe_rabbit::KIND;
use probe_testkit::notes;
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST, rabbit};

use crate::outcome;

#[tokio::test(flavor = "multi_thread")]
async fn several_brokers_are_tried_in_order() {
    let (down, second) = (stack::free_port().unwrap(), rabbit::shared().unwrap());
    let down = format!("127.0.0.1:{down}");
    let up = format!("amqp://{HEALTH_USER}:{HEALTH_PASSWORD}@{second}/{RABBIT_VHOST}?heartbeat=30");
    let url = format!("url = 'amqp://{down};{up}'\n");
    outcome(&url).await.expect_working();
    assert_eq!(notes(&KIND, "rabbit", &url), ["1: rabbit.url: ignored here: `heartbeat`"]);
    // The server that fails is named.
    let missing = format!("{url}queues = ['not-there']\n");
    let expected = format!("queues: {second}: not-there does not exist ({down})");
    assert_eq!(outcome(&missing).await.line(), expected);
    let refused = outcome(&format!("url = 'amqp://{down};amqp://{down}/v'\n")).await;
    assert_eq!(refused.line(), format!("connect: connection refused ({down})"));
}
