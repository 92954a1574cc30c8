//! Checks of several buckets at one endpoint.

use std::time::Duration;

use probe::SharedResources;
use probe_s3::KIND;
use probe_testkit::{checks, component_sharing, run};
use stack::localstack::{APP_BUCKET, HISTORY_BUCKET, Localstack};

use crate::proxy::{Action, Proxy};
use crate::{TIMEOUT, connection_settings};

#[tokio::test]
async fn a_request_that_hangs_delays_no_check_of_another_bucket() {
    let server = Localstack::start().unwrap();
    let hanging = format!("PUT /{HISTORY_BUCKET}/");
    let rule = {
        let hanging = hanging.clone();
        move |head: &str| if head.starts_with(&hanging) { Action::Hold } else { Action::Pass }
    };
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into(), rule).await;
    let bucket = |name: &str| {
        let access = "access = ['list', 'read', 'write', 'delete']\npath_style = true";
        format!("bucket = '{name}'\n{access}\n{}", connection_settings(proxy.address))
    };
    let (app, history) = (bucket(APP_BUCKET), bucket(HISTORY_BUCKET));
    let toml = format!("[app]\n{app}[history]\n{history}");
    let component = component_sharing(&KIND, "s3", &toml, &SharedResources::default());
    let [(_, app), (_, history)] = checks(&component).try_into().unwrap();
    let hung = tokio::spawn(async move { run(&history, TIMEOUT).await });
    proxy.wait_for(&hanging).await;
    for _ in 0..5 {
        run(&app, Duration::from_secs(5)).await.expect_working();
    }
    assert!(!hung.is_finished());
    proxy.release();
    hung.await.unwrap().expect_working();
    // No request waits, so one connection is kept.
    proxy.wait_for_open(1).await;
}
