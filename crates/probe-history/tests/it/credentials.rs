//! Keys and permissions, on a server that enforces them.

use probe_history::KIND;
use probe_testkit::component;
use stack::moto::{Keys, Moto};

use crate::pipeline::{clickhouse_settings, event_bridge_settings, failures, local};

/// The failures of all checks with `keys`.
async fn failures_with(moto: &Moto, keys: &Keys) -> Vec<String> {
    let aws = local(moto.port());
    let clickhouse = clickhouse_settings(stack::clickhouse::shared().unwrap(), "");
    let event_bridge = event_bridge_settings(aws, &keys.id, &keys.secret);
    let lines = format!("{clickhouse}{event_bridge}[e2e]\n");
    let found = failures(&component(&KIND, "history", &lines)).await;
    let found = found.into_iter().map(|line| line.replace(&format!(" ({aws})"), ""));
    // The checks share the keys, so only the first one tries them. The others may run seconds later.
    found.map(|line| line.split(", refused ").next().unwrap().to_owned()).collect()
}

const AWS_CHECKS: [&str; 5] = [
    "e2e",
    "event_bridge.api_destination",
    "event_bridge.connection",
    "event_bridge.credentials",
    "event_bridge.rule",
];

#[tokio::test]
async fn wrong_keys_fail_every_aws_check_in_the_authenticate_step() {
    let (moto, keys) = Moto::start_enforcing_permissions(&["events:*"]).unwrap();
    let wrong = Keys { secret: "another-secret-key".to_owned(), ..keys.clone() };
    let cause = "authenticate: the secret access key is wrong (InvalidSignatureException)";
    assert_eq!(
        failures_with(&moto, &wrong).await,
        AWS_CHECKS.map(|name| format!("{name}: {cause}"))
    );
    let wrong = Keys { id: "unknown".to_owned(), ..keys };
    let cause = "authenticate: the access key is not known (UnrecognizedClientException)";
    assert_eq!(
        failures_with(&moto, &wrong).await,
        AWS_CHECKS.map(|name| format!("{name}: {cause}"))
    );
}

#[tokio::test]
async fn each_check_names_the_missing_permission() {
    let (moto, keys) = Moto::start_enforcing_permissions(&["events:DescribeEventBus"]).unwrap();
    let expected = [
        ("e2e: put event: ", "events:PutEvents"),
        ("event_bridge.api_destination: api destination: ", "events:DescribeApiDestination"),
        ("event_bridge.connection: connection: ", "events:DescribeConnection"),
        ("event_bridge.rule: rule: ", "events:DescribeRule"),
    ];
    let found = failures_with(&moto, &keys).await;
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, (check, permission)) in found.iter().zip(expected) {
        assert!(line.starts_with(&format!("{check}access denied, ")), "{line}");
        assert!(line.contains(permission), "{line}");
    }
}

/// The emulator knows this permission, although it does not compare events with patterns.
#[tokio::test]
async fn a_sample_event_needs_the_permission_to_test_the_pattern() {
    let allowed =
        ["events:DescribeRule", "events:ListTargetsByRule", "events:DescribeApiDestination"];
    let (moto, keys) = Moto::start_enforcing_permissions(&allowed).unwrap();
    let at = local(moto.port());
    let settings = event_bridge_settings(at, &keys.id, &keys.secret);
    let rule = async |more: &str| {
        let found = failures(&component(&KIND, "history", &format!("{settings}{more}"))).await;
        found.into_iter().find(|line| line.starts_with("event_bridge.rule: "))
    };
    assert_eq!(rule("").await, None);
    let line = rule("sample_event = { source = 'app', detail_type = 'order placed' }\n").await;
    let expected = "event_bridge.rule: pattern: access denied, the permission `events:TestEventPattern` is missing";
    assert_eq!(line, Some(format!("{expected} ({at})")));
}
