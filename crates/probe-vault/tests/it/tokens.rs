//! The states of the session's token.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use probe::{DynCheck, Observation, Steps};
use probe_testkit::{RunOutcome, single};
use probe_vault::KIND;
use serde_json::json;
use stack::vault::{Vault, api};

use crate::{DEADLINE, assert_fails, check, new_token, once, with_token};

/// Runs the check until it fails.
async fn first_failure(check: &Arc<dyn DynCheck>) -> RunOutcome {
    let failure = async {
        loop {
            let outcome = once(check).await;
            if !outcome.is_working() {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, failure).await.unwrap()
}

#[tokio::test]
async fn an_unknown_or_revoked_token_is_not_working() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    let invalid = "lookup: the token is invalid, was revoked, or may not look itself up";
    assert_fails(&once(&with_token(port, "s.unknown-token", "")).await, port, invalid);
    let token = new_token(port, &json!({"ttl": "1h", "policies": ["default"]}));
    let check = with_token(port, &token, "");
    once(&check).await.expect_working();
    api(port, "POST", "auth/token/revoke", &json!({"token": token})).unwrap();
    assert_fails(&once(&check).await, port, invalid);
}

#[tokio::test]
async fn a_token_that_expires_soon_and_is_not_renewable_is_not_working() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    let settings = json!({"ttl": "30s", "renewable": false, "policies": ["default"]});
    let token = new_token(port, &settings);
    let outcome = once(&with_token(port, &token, "")).await;
    let line = outcome.line();
    assert!(line.starts_with("lookup: token expires in "), "{line}");
    assert!(line.contains("s and cannot be renewed ("), "{line}");
    let (steps, before) = (Steps::new(), SystemTime::now());
    with_token(port, &token, "min_ttl = '1s'").check(&steps).await.unwrap();
    let observations = steps.observations();
    let [Observation::VaultTokenExpiry(at)] = &observations[..] else { panic!("{observations:?}") };
    let left = at.duration_since(before).unwrap();
    assert!(left > Duration::from_secs(1) && left < Duration::from_secs(31), "{left:?}");
}

#[tokio::test]
async fn an_expired_token_is_reported_as_expired() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    let settings = json!({"ttl": "2s", "renewable": false, "policies": ["default"]});
    let check = with_token(port, &new_token(port, &settings), "min_ttl = '0s'");
    once(&check).await.expect_working();
    assert_fails(&first_failure(&check).await, port, "lookup: the token expired");
}

#[tokio::test]
async fn a_token_with_failing_renewals_is_working_until_it_is_about_to_expire() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    let allowed = r#"path "auth/token/lookup-self" { capabilities = ["read"] }"#;
    api(port, "PUT", "sys/policies/acl/lookup-only", &json!({"policy": allowed})).unwrap();
    let settings = json!({"ttl": "6s", "policies": ["lookup-only"], "no_default_policy": true});
    let check = with_token(port, &new_token(port, &settings), "");
    once(&check).await.expect_working();
    let outcome = first_failure(&check).await;
    let line = outcome.line();
    let why = "s and could not be renewed: renew: permission denied (status 403) (";
    assert!(line.starts_with("lookup: token expires in ") && line.contains(why), "{line}");
}

#[tokio::test]
async fn a_short_token_that_is_renewed_stays_working() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    let token = new_token(port, &json!({"ttl": "4s", "policies": ["default"]}));
    let check = with_token(port, &token, "");
    let renewed_twice = || {
        let data = api(port, "POST", "auth/token/lookup", &json!({"token": token})).unwrap();
        let time = |key: &str| data["data"][key].as_u64().unwrap_or_default();
        time("last_renewal_time") >= time("creation_time") + 4
    };
    let polling = tokio::time::timeout(DEADLINE, async {
        while !renewed_twice() {
            once(&check).await.expect_working();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    polling.await.unwrap();
}

#[tokio::test]
async fn a_token_that_never_expires_is_working() {
    let vault = Vault::start().unwrap();
    once(&check(vault.port(), "min_ttl = '1000h'")).await.expect_working();
}

#[tokio::test]
async fn a_refused_login_is_reported_with_its_method() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    api(port, "POST", "sys/auth/approle", &json!({"type": "approle"})).unwrap();
    let toml = format!(
        "url = 'http://127.0.0.1:{port}'\nlogin = 'approle'\nrole_id = 'unknown'\nsecret_id = 'x'\n"
    );
    let outcome = once(&single(&KIND, "vault", &toml)).await;
    let why = "login: approle login refused: invalid role or secret ID (status 400)";
    assert_fails(&outcome, port, why);
}

/// The settings of a session that logs in with an `AppRole`.
fn app_role(port: u16) -> String {
    api(port, "POST", "sys/auth/approle", &json!({"type": "approle"})).unwrap();
    let role = "auth/approle/role/health";
    api(port, "POST", role, &json!({"token_policies": ["default"]})).unwrap();
    let role_id = api(port, "GET", &format!("{role}/role-id"), &json!(null)).unwrap();
    let secret_id = api(port, "POST", &format!("{role}/secret-id"), &json!({})).unwrap();
    format!(
        "url = 'http://127.0.0.1:{port}'\nlogin = 'approle'\nrole_id = {}\nsecret_id = {}\n",
        role_id["data"]["role_id"], secret_id["data"]["secret_id"],
    )
}

/// The number of valid tokens.
fn tokens(port: u16) -> usize {
    let listed = api(port, "LIST", "auth/token/accessors", &json!(null)).unwrap();
    listed["data"]["keys"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_login_that_is_refused_is_reported_while_the_token_is_valid() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    let settings = app_role(port);
    let before = tokens(port);
    let check = single(&KIND, "vault", &format!("{settings}reconnect = '50ms'\n"));
    for _ in 0..3 {
        once(&check).await.expect_working();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    // Each login replaces the token, and the old one is revoked.
    assert_eq!(tokens(port), before + 1);
    let kept = single(&KIND, "vault", &settings);
    once(&kept).await.expect_working();

    api(port, "DELETE", "auth/approle/role/health", &json!(null)).unwrap();
    let why = "login: approle login refused: invalid role or secret ID (status 400)";
    assert_fails(&first_failure(&check).await, port, why);
    let line = once(&check).await.line().to_owned();
    assert!(line.starts_with(&format!("{why}, refused ")), "{line}");
    // The token is still valid, and the login is trusted for 30 seconds.
    once(&kept).await.expect_working();
    // A refused login is not repeated for 10 seconds, and changed credentials are tried at once.
    once(&single(&KIND, "vault", &app_role_again(port))).await.expect_working();
}

/// The settings of the role after it was created again.
fn app_role_again(port: u16) -> String {
    api(port, "DELETE", "sys/auth/approle", &json!(null)).unwrap();
    app_role(port)
}

#[tokio::test]
async fn a_locked_role_is_reported_as_such() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    let settings = app_role(port);
    let role_id = settings.lines().find_map(|line| line.strip_prefix("role_id = ")).unwrap();
    let wrong = json!({"role_id": role_id.trim_matches('"'), "secret_id": "wrong"});
    for _ in 0..5 {
        assert!(api(port, "POST", "auth/approle/login", &wrong).is_err());
    }
    let locked = "login: approle login refused: permission denied (status 403): the mount does not exist, or the role is locked";
    assert_fails(&once(&single(&KIND, "vault", &settings)).await, port, locked);
    let unlock =
        format!("sys/locked-users/{}/unlock/{}", accessor(port), role_id.trim_matches('"'));
    api(port, "POST", &unlock, &json!({})).unwrap();
    once(&single(&KIND, "vault", &settings)).await.expect_working();
}

/// The accessor of the auth method.
fn accessor(port: u16) -> String {
    let methods = api(port, "GET", "sys/auth", &json!(null)).unwrap();
    methods["data"]["approle/"]["accessor"].as_str().unwrap().to_owned()
}
