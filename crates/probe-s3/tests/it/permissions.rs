//! The permissions of each kind of access, on a server that enforces them.

use stack::localstack::APP_BUCKET;
use stack::moto::Moto;

use crate::{connection_settings, connection_settings_for, outcome};

const ALL: &str = "'list', 'read', 'write', 'delete'";

/// The error line of a check of `access` for a user with `actions`; empty if it is working.
async fn error_line(actions: &[&str], access: &str, more: &str) -> String {
    let (moto, keys) = Moto::start_enforcing_permissions(actions).unwrap();
    let at = ([127, 0, 0, 1], moto.port()).into();
    let connection = connection_settings_for(at, &keys.id, &keys.secret);
    let lines = format!("bucket = '{APP_BUCKET}'\naccess = [{access}]\n{more}{connection}");
    let outcome = outcome(&lines).await;
    if outcome.is_working() {
        String::new()
    } else {
        outcome.line().replace(&format!(" ({at})"), "")
    }
}

#[tokio::test]
async fn read_permissions_suffice_for_read_access() {
    assert_eq!(error_line(&["s3:ListBucket", "s3:GetObject"], "'list', 'read'", "").await, "");
    assert_eq!(error_line(&["s3:ListBucket"], "'list'", "").await, "");
    // Without `s3:ListBucket`, the response to a missing object is the same as to a forbidden one.
    let missing = error_line(&["s3:GetObject"], "'read'", "object = 'missing'\n").await;
    assert!(missing.starts_with("read: "), "{missing}");
}

#[tokio::test]
async fn each_permission_is_needed_and_the_missing_one_is_named() {
    const ACTIONS: [&str; 4] = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"];
    assert_eq!(error_line(&ACTIONS, ALL, "").await, "");
    for (step, missing) in ["list", "read", "write", "delete"].into_iter().zip(ACTIONS) {
        let others: Vec<_> = ACTIONS.into_iter().filter(|action| *action != missing).collect();
        let line = error_line(&others, ALL, "").await;
        let expected = format!(
            "{step}: access denied, the permission `{missing}` on the bucket `{APP_BUCKET}` is missing"
        );
        assert_eq!(line, expected);
    }
}

#[tokio::test]
async fn wrong_keys_fail_in_the_authenticate_step() {
    let (moto, keys) = Moto::start_enforcing_permissions(&["s3:ListBucket"]).unwrap();
    let at = ([127, 0, 0, 1], moto.port()).into();
    for (id, secret, expected) in [
        (keys.id.as_str(), "another", "the secret access key is wrong (SignatureDoesNotMatch)"),
        ("unknown", keys.secret.as_str(), "the access key is not known (InvalidAccessKeyId)"),
    ] {
        let lines = format!(
            "bucket = '{APP_BUCKET}'\naccess = ['list']\n{}",
            connection_settings_for(at, id, secret)
        );
        assert_eq!(outcome(&lines).await.line(), format!("authenticate: {expected} ({at})"));
    }
    let right = connection_settings_for(at, &keys.id, &keys.secret);
    let lines = format!("bucket = '{APP_BUCKET}'\naccess = ['list']\n{right}");
    outcome(&lines).await.expect_working();
}

#[tokio::test]
async fn a_clock_skew_is_reported_with_its_size() {
    let moto = Moto::start_with_clock_ahead().unwrap();
    let at = ([127, 0, 0, 1], moto.port()).into();
    let lines = format!("bucket = '{APP_BUCKET}'\naccess = ['list']\n{}", connection_settings(at));
    let outcome = outcome(&lines).await;
    let line = outcome.line();
    // The minutes depend on the second of the request.
    let lines = ["1 h 0 min", "59 min"].map(|skew| {
        format!(
            "authenticate: our clock is {skew} behind the server's (RequestTimeTooSkewed) ({at})"
        )
    });
    assert!(lines.iter().any(|expected| expected == line), "{line}");
}
