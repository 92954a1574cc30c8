//! Refused logins and missing permissions.

use std::time::Duration;

use probe_testkit::{FaultProxy, RunOutcome, run};
use stack::rabbit::{ADMIN_PASSWORD, ADMIN_USER, Rabbit};
use stack::{HEALTH_PASSWORD, HEALTH_USER, free_port};

use crate::{DEADLINE, check, outcome};

async fn check_refused(url: &str, expected: &str) {
    assert_eq!(outcome(&format!("url = '{url}'")).await.line(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_reported_with_its_reason() {
    let broker = Rabbit::start(&[]).unwrap();
    let port = broker.port();
    check_refused(
        &broker.url(ADMIN_USER, "not-the-password"),
        &format!(
            "authenticate: ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile (127.0.0.1:{port})"
        ),
    )
    .await;
    check_refused(
        &format!("amqp://{ADMIN_USER}:{ADMIN_PASSWORD}@127.0.0.1:{port}/nowhere"),
        &format!("virtual host: NOT_ALLOWED - vhost nowhere not found (127.0.0.1:{port})"),
    )
    .await;
    check_refused(
        &format!("amqp://{HEALTH_USER}:{HEALTH_PASSWORD}@127.0.0.1:{port}"),
        &format!(
            "virtual host: NOT_ALLOWED - access to vhost '/' refused for user '{HEALTH_USER}' (127.0.0.1:{port})"
        ),
    )
    .await;
    let closed = free_port().unwrap();
    check_refused(
        &format!("amqp://127.0.0.1:{closed}"),
        &format!("connect: connection refused (127.0.0.1:{closed})"),
    )
    .await;
    outcome(&format!("url = '{}'", broker.admin_url())).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_permissions_are_needed_and_are_sufficient() {
    let broker = Rabbit::start(&[]).unwrap();
    broker.ctl(&["add_user", "me", "my-password"]).unwrap();
    let url = format!("url = '{}'", broker.url("me", "my-password"));
    let own = r"^health-gateway\..*$";
    for (configure, write, read, expected) in [
        (own, r"^amq\.default$", own, None),
        (
            "^$",
            r"^amq\.default$",
            own,
            Some("reply queue: ACCESS_REFUSED - access to queue 'health-gateway."),
        ),
        (own, "^$", own, Some("publish: ACCESS_REFUSED - access to exchange 'amq.default'")),
        (
            own,
            r"^amq\.default$",
            "^$",
            Some("reply queue: ACCESS_REFUSED - access to queue 'health-gateway."),
        ),
        (own, r"^amq\.default$", own, None),
    ] {
        broker.ctl(&["set_permissions", "-p", "app", "me", configure, write, read]).unwrap();
        let outcome = outcome(&url).await;
        match expected {
            None => outcome.expect_working(),
            Some(expected) => assert!(outcome.line().starts_with(expected), "{}", outcome.line()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_prefix_limits_the_permissions_to_its_names() {
    let broker = Rabbit::start(&[]).unwrap();
    broker.ctl(&["add_user", "me", "my-password"]).unwrap();
    let own = r"^app\..*$";
    broker.ctl(&["set_permissions", "-p", "app", "me", own, r"^amq\.default$", own]).unwrap();
    let url = format!("url = '{}'\nqueue_prefix = 'app.'", broker.url("me", "my-password"));
    outcome(&url).await.expect_working();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_not_tried_again_before_a_pause() {
    let broker = Rabbit::start(&[]).unwrap();
    let proxy = FaultProxy::start(([127, 0, 0, 1], broker.port()).into());
    let url = broker.url(ADMIN_USER, "not-the-password");
    let url = url.replace(&format!(":{}", broker.port()), &format!(":{}", proxy.address().port()));
    let check = check(&format!("url = '{url}'"));
    for _ in 0..20 {
        let outcome = run(&check, DEADLINE).await;
        assert!(outcome.line().starts_with("authenticate: ACCESS_REFUSED"), "{outcome:?}");
    }
    let line = run(&check, DEADLINE).await.line().to_owned();
    assert!(line.contains("logfile, refused ") && line.contains(", next attempt in "), "{line}");
    assert_eq!(proxy.counts().accepted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_limit_is_reported_while_a_connection_is_kept() {
    let broker = Rabbit::start(&[]).unwrap();
    let url = broker.url(ADMIN_USER, ADMIN_PASSWORD);
    let check = check(&format!("url = '{url}'\nreconnect = '1s'"));
    run(&check, DEADLINE).await.expect_working();
    broker.ctl(&["set_user_limits", ADMIN_USER, r#"{"max-connections": 0}"#]).unwrap();
    let refused = async {
        loop {
            match run(&check, DEADLINE).await {
                RunOutcome::Failed { line, .. } => return line,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let line = tokio::time::timeout(DEADLINE, refused).await.unwrap();
    assert!(line.starts_with("virtual host: NOT_ALLOWED"), "{line}");
    broker.ctl(&["clear_user_limits", ADMIN_USER, "max-connections"]).unwrap();
    run(&check, DEADLINE).await.expect_working();
}
