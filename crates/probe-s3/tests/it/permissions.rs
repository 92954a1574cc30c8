//! Which permission each kind of access needs, on a server that checks keys and permissions.

use stack::localstack::APP_BUCKET;
use stack::moto::Moto;

use crate::{outcome, place, place_for};

const ALL: &str = "'list', 'read', 'write', 'delete'";

/// What is said to a user who may do `actions` when `access` is asked for; empty if it works.
async fn said(actions: &[&str], access: &str, more: &str) -> String {
    let (moto, keys) = Moto::start_checking(actions).unwrap();
    let at = ([127, 0, 0, 1], moto.port()).into();
    let place = place_for(at, &keys.id, &keys.secret);
    let lines = format!("bucket = '{APP_BUCKET}'\naccess = [{access}]\n{more}{place}");
    let outcome = outcome(&lines).await;
    if outcome.is_working() {
        String::new()
    } else {
        outcome.line().replace(&format!(" ({at})"), "")
    }
}

#[tokio::test]
async fn a_role_with_read_access_alone_can_be_working() {
    assert_eq!(said(&["s3:ListBucket", "s3:GetObject"], "'list', 'read'", "").await, "");
    assert_eq!(said(&["s3:ListBucket"], "'list'", "").await, "");
    // Who may not list is told the same of a missing object as of one that he may not read.
    let missing = said(&["s3:GetObject"], "'read'", "object = 'missing'\n").await;
    assert!(missing.starts_with("read: "), "{missing}");
}

#[tokio::test]
async fn each_permission_is_needed_and_the_missing_one_is_named() {
    const ACTIONS: [&str; 4] = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"];
    assert_eq!(said(&ACTIONS, ALL, "").await, "");
    for (step, missing) in ["list", "read", "write", "delete"].into_iter().zip(ACTIONS) {
        let others: Vec<_> = ACTIONS.into_iter().filter(|action| *action != missing).collect();
        let line = said(&others, ALL, "").await;
        let expected = format!(
            "{step}: access denied, the permission `{missing}` on the bucket `{APP_BUCKET}` is missing"
        );
        assert_eq!(line, expected);
    }
}

#[tokio::test]
async fn wrong_keys_are_a_failed_authentication() {
    let (moto, keys) = Moto::start_checking(&["s3:ListBucket"]).unwrap();
    let at = ([127, 0, 0, 1], moto.port()).into();
    for (id, secret, expected) in [
        (keys.id.as_str(), "another", "the secret access key is wrong (SignatureDoesNotMatch)"),
        ("nobody", keys.secret.as_str(), "the access key is not known (InvalidAccessKeyId)"),
    ] {
        let lines =
            format!("bucket = '{APP_BUCKET}'\naccess = ['list']\n{}", place_for(at, id, secret));
        assert_eq!(outcome(&lines).await.line(), format!("authenticate: {expected} ({at})"));
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_with_the_difference() {
    let moto = Moto::start_with_clock_ahead().unwrap();
    let at = ([127, 0, 0, 1], moto.port()).into();
    let lines = format!("bucket = '{APP_BUCKET}'\naccess = ['list']\n{}", place(at));
    let outcome = outcome(&lines).await;
    let line = outcome.line();
    // The minutes depend on the second in which the request is made.
    let hour = ["1 h 0 min", "59 min"].map(|hour| {
        format!(
            "authenticate: our clock is {hour} behind the server's (RequestTimeTooSkewed) ({at})"
        )
    });
    assert!(hour.iter().any(|hour| hour == line), "{line}");
}
