//! Runs leave no connection open, and finished runs send a close frame.

use std::time::Duration;

use probe_testkit::{FaultProxy, run};
use serde_json::json;
use stack::websocket::{Websocket, shared};

use crate::{DEADLINE, check};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_leave_no_connection_and_each_sends_a_close_frame() {
    let server = Websocket::start(None).unwrap();
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into());
    let check = check(proxy.address(), "/greet/news", "");
    for _ in 0..100 {
        run(&check, DEADLINE).await.expect_working();
    }
    assert_eq!(proxy.wait_for_open(0).await.accepted, 100);
    assert_eq!(server.closed().unwrap(), json!({"1000": 100}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_sends_a_close_frame() {
    let server = Websocket::start(None).unwrap();
    let address = ([127, 0, 0, 1], server.port()).into();
    let outcome = run(&check(address, "/close/4003", ""), DEADLINE).await;
    assert!(!outcome.is_working());
    assert_eq!(server.closed().unwrap(), json!({"4003": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_time_out_leave_no_connection() {
    let proxy = FaultProxy::start(shared().unwrap());
    let check = check(proxy.address(), "/", "");
    run(&check, DEADLINE).await.expect_working();
    proxy.swallow();
    for _ in 0..20 {
        run(&check, Duration::from_millis(50)).await.timed_out_step();
    }
    proxy.wait_for_open(0).await;
}
