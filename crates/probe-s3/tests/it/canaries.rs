//! The objects that the check writes, and their deletion.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use probe::{DynCheck, SharedResources};
use probe_s3::KIND;
use probe_testkit::{checks, component_sharing, cut_at_random, run};
use serde_json::json;
use stack::aws::SECRET_ACCESS_KEY;
use stack::localstack::{APP_BUCKET, Localstack};
use tokio::time::timeout;

use crate::proxy::{Action, Proxy};
use crate::{TIMEOUT, check, connection_settings, outcome};

const ALL: &str = "access = ['list', 'read', 'write', 'delete']";

fn lines(server: &Localstack, more: &str) -> String {
    let address = ([127, 0, 0, 1], server.port()).into();
    format!("bucket = '{APP_BUCKET}'\n{more}\n{}", connection_settings(address))
}

fn put(server: &Localstack, key: &str) {
    let object = json!({"Bucket": APP_BUCKET, "Key": key, "Body": "an object"});
    server.aws.call("s3", "put_object", &object).unwrap();
}

#[tokio::test]
async fn no_object_is_left_after_complete_and_cancelled_runs() {
    let server = Localstack::start().unwrap();
    let check = check(&lines(&server, ALL));
    for _ in 0..100 {
        run(&check, TIMEOUT).await.expect_working();
    }
    assert_eq!(server.objects(APP_BUCKET).unwrap(), [""; 0]);
    cut_at_random(KIND, "s3", format!("[files]\n{}", lines(&server, ALL)), 100).await;
    assert_eq!(server.objects(APP_BUCKET).unwrap(), [""; 0]);
}

/// Cuts runs until one has written its canary and not deleted it.
async fn cut_after_write(server: &Localstack, check: &Arc<dyn DynCheck>) {
    // Each run is cut a little later than the one before.
    let mut limit = Duration::ZERO;
    while server.objects(APP_BUCKET).unwrap().is_empty() {
        limit += Duration::from_millis(1);
        assert!(limit < TIMEOUT, "no run was cut after its write");
        run(check, limit).await;
    }
}

#[tokio::test]
async fn the_canary_of_a_cancelled_run_is_deleted_by_the_next_run_and_at_the_end() {
    let server = Localstack::start().unwrap();
    let shared = SharedResources::default();
    let group = |lines: &str| component_sharing(&KIND, "s3", &format!("[files]\n{lines}"), &shared);
    let before = group(&lines(&server, ALL));
    let check = checks(&before).remove(0).1;
    run(&check, TIMEOUT).await.expect_working();
    cut_after_write(&server, &check).await;
    let after = group(&lines(&server, ALL).replace(SECRET_ACCESS_KEY, "rotated"));
    drop((before, check));
    let check = checks(&after).remove(0).1;
    run(&check, TIMEOUT).await.expect_working();
    assert_eq!(server.objects(APP_BUCKET).unwrap(), [""; 0], "the next run deletes it");
    cut_after_write(&server, &check).await;
    shared.cleanups().finish(TIMEOUT).await;
    assert_eq!(server.objects(APP_BUCKET).unwrap(), [""; 0], "the end of the process deletes it");
}

/// Waits until there is an object.
async fn wait_for_object(server: &Localstack) {
    let wait = async {
        while server.objects(APP_BUCKET).unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(TIMEOUT, wait).await.unwrap();
}

/// A check behind a proxy that does `action` with the first write.
async fn with_first_write(server: &Localstack, action: Action) -> (Proxy, Arc<dyn DynCheck>) {
    let mut is_first = true;
    let rule = move |head: &str| {
        let is_held = head.starts_with("PUT ") && mem::take(&mut is_first);
        if is_held { action } else { Action::Pass }
    };
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into(), rule).await;
    let settings = connection_settings(proxy.address);
    let check = check(&format!("bucket = '{APP_BUCKET}'\n{ALL}\n{settings}"));
    (proxy, check)
}

#[tokio::test]
async fn a_slow_write_is_sent_once() {
    let server = Localstack::start().unwrap();
    let (proxy, check) = with_first_write(&server, Action::Hold).await;
    // Other requests would be sent on a second connection after a quarter of this.
    assert_eq!(run(&check, Duration::from_secs(2)).await.timed_out_step(), "write");
    assert_eq!(proxy.count("PUT "), 1);
    // The server receives it after its run has ended.
    proxy.release();
    wait_for_object(&server).await;
    run(&check, TIMEOUT).await.expect_working();
    assert_eq!(server.objects(APP_BUCKET).unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_write_that_was_sent_again_is_deleted_again() {
    let server = Localstack::start().unwrap();
    let (proxy, check) = with_first_write(&server, Action::Refuse).await;
    run(&check, TIMEOUT).await.expect_working();
    assert_eq!(proxy.count("PUT "), 2);
    assert_eq!(server.objects(APP_BUCKET).unwrap(), [""; 0]);
    // The server processes the first request after the deletion.
    proxy.release();
    wait_for_object(&server).await;
    run(&check, TIMEOUT).await.expect_working();
    assert_eq!(server.objects(APP_BUCKET).unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_sweep_deletes_stale_canaries_and_no_other_objects() {
    let server = Localstack::start().unwrap();
    let (old, young) = ("1700000000-0123456789abcdef", "99999999999-0123456789abcdef");
    let prefixed = |name: &str| format!("app/health-gateway/{name}");
    for name in [old, young, "report.txt"] {
        put(&server, &prefixed(name));
    }
    put(&server, "app/1700000000-0123456789abcdef");
    let check = check(&lines(&server, &format!("prefix = 'app/'\n{ALL}")));
    run(&check, TIMEOUT).await.expect_working();
    assert_eq!(
        server.objects(APP_BUCKET).unwrap(),
        ["app/1700000000-0123456789abcdef".to_owned(), prefixed(young), prefixed("report.txt")]
    );
}

#[tokio::test]
async fn without_delete_access_one_object_is_overwritten() {
    let server = Localstack::start().unwrap();
    let check = check(&lines(&server, "access = ['write', 'read']\nprefix = 'app/'"));
    for _ in 0..3 {
        run(&check, TIMEOUT).await.expect_working();
    }
    assert_eq!(server.objects(APP_BUCKET).unwrap(), ["app/health-gateway/canary"]);
}

#[tokio::test]
async fn without_write_access_no_object_is_written() {
    let server = Localstack::start().unwrap();
    put(&server, "a.txt");
    put(&server, "empty");
    for access in [
        "access = ['list']",
        "access = ['list', 'read']",
        "access = ['read']\nobject = 'a.txt'",
        "access = ['delete']",
        "access = ['list', 'read', 'delete']\nobject = 'a.txt'",
    ] {
        outcome(&lines(&server, access)).await.expect_working();
    }
    assert_eq!(server.objects(APP_BUCKET).unwrap(), ["a.txt", "empty"]);
}

#[tokio::test]
async fn a_silent_server_times_out_and_works_again_after_it_resumes() {
    let server = Localstack::start().unwrap();
    let check = check(&lines(&server, ALL));
    run(&check, TIMEOUT).await.expect_working();
    server.server.pause();
    assert_eq!(run(&check, Duration::from_millis(300)).await.timed_out_step(), "list");
    server.server.resume();
    run(&check, TIMEOUT).await.expect_working();
}
