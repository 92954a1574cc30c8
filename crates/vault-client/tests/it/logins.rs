//! How sessions obtain, replace and revoke their tokens.

use std::time::Duration;

use futures_util::future::join_all;
use probe::{Reconnect, SharedResources, Steps};
use probe_testkit::FaultProxy;
use serde_json::{Value, json};
use stack::vault::{ROOT_TOKEN, Vault};
use tokio::time::timeout;

use crate::fixtures::{RootApi, read, read_failure, session, shared_session, wait_until};

#[tokio::test]
async fn concurrent_callers_share_one_login_and_one_connection() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let settings = vault.app_role(&json!({}));
    let before = vault.accessors().len();
    let proxy = FaultProxy::start(([127, 0, 0, 1], vault.port()).into());
    let settings = through(&proxy, &vault, &settings);
    let shared = SharedResources::default();
    let sessions: Vec<_> = (0..10).map(|_| shared_session(&shared, &settings)).collect();
    for secret in join_all(sessions.iter().map(|session| read(session, "secret/app"))).await {
        assert_eq!(secret["a"], "b");
    }
    assert_eq!(vault.accessors().len(), before + 1);
    assert_eq!(proxy.counts().accepted, 1);
}

#[tokio::test]
async fn a_refused_login_names_its_method() {
    let vault = Vault::start().unwrap();
    vault.app_role(&json!({}));
    let wrong = format!(
        "url = 'http://127.0.0.1:{}'\nlogin = 'approle'\nrole_id = 'unknown'\nsecret_id = 'x'\n",
        vault.port()
    );
    assert_eq!(
        read_failure(&session(&wrong), "secret/app").await,
        "login: approle login refused: invalid role or secret ID (status 400)"
    );
    let other_mount = session(&format!("{wrong}mount = 'teams/a'\n"));
    assert_eq!(
        read_failure(&other_mount, "secret/app").await,
        "login: approle login refused: permission denied (status 403): the mount does not exist, or the role is locked"
    );
}

#[tokio::test]
async fn a_wrong_token_is_reported_as_invalid() {
    let vault = Vault::start().unwrap();
    let session = session(&vault.with_token("s.unknown-token"));
    let failure = session.lookup_self(&Steps::new()).await.unwrap_err();
    assert_eq!(
        failure.render(""),
        "lookup: the token is invalid, was revoked, or may not look itself up"
    );
    let line = read_failure(&session, "secret/app").await;
    assert_eq!(line, "read: permission denied for `secret/app`");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_by_a_new_login() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let session = session(&vault.app_role(&json!({})));
    read(&session, "secret/app").await;
    vault.call("PUT", "sys/leases/revoke-prefix/auth/approle/login", &json!({}));
    assert_eq!(read(&session, "secret/app").await["a"], "b");
    vault.call("PUT", "sys/leases/revoke-prefix/auth/approle/login", &json!({}));
    session.lookup_self(&Steps::new()).await.unwrap();
}

#[tokio::test]
async fn a_session_survives_a_vault_that_was_reset_and_set_up_again() {
    let mut vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let settings = vault.app_role(&json!({}));
    let session = session(&settings);
    read(&session, "secret/app").await;
    vault.server.restart().unwrap();
    vault.put_secret(&json!({"a": "c"}));
    vault.app_role(&json!({}));
    let value = |key: &str| {
        let line = settings.lines().find(|line| line.starts_with(key)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let role = "auth/approle/role/health";
    let role_id = json!({"role_id": value("role_id")});
    vault.call("POST", &format!("{role}/role-id"), &role_id);
    let secret_id = json!({"secret_id": value("secret_id")});
    vault.call("POST", &format!("{role}/custom-secret-id"), &secret_id);
    assert_eq!(read(&session, "secret/app").await["a"], "c");
}

#[tokio::test]
async fn a_dropped_session_revokes_its_token() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let settings = vault.app_role(&json!({}));
    let before = vault.accessors();
    let session = session(&settings);
    read(&session, "secret/app").await;
    assert_ne!(vault.accessors(), before);
    drop(session);
    wait_until("the token to be revoked", || vault.accessors() == before).await;
}

#[tokio::test]
async fn close_revokes_a_token_from_a_login_and_keeps_a_configured_one() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let settings = vault.app_role(&json!({}));
    let configured = vault.token(&json!({"ttl": "1h"}));
    let before = vault.accessors();
    for settings in [settings, vault.with_token(&configured)] {
        let session = session(&settings);
        session.lookup_self(&Steps::new()).await.unwrap();
        session.close().await;
        assert_eq!(vault.accessors(), before);
    }
}

#[tokio::test]
async fn all_requests_use_the_configured_vault_namespace() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "outside"}));
    vault.call("POST", "sys/namespaces/teams", &json!({}));
    let second = json!({"type": "kv", "options": {"version": "2"}});
    vault.call("POST", "teams/sys/mounts/secret", &second);
    wait_until("the store to be ready", || {
        let inside = json!({"data": {"a": "inside"}});
        vault.api("POST", "teams/secret/data/app", &inside).is_ok()
    })
    .await;
    vault.call("POST", "teams/sys/auth/approle", &json!({"type": "approle"}));
    let allowed = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    vault.call("PUT", "teams/sys/policies/acl/health", &json!({"policy": allowed}));
    let role = "teams/auth/approle/role/health";
    vault.call("POST", role, &json!({"token_policies": ["health"]}));
    let role_id = vault.call("GET", &format!("{role}/role-id"), &Value::Null);
    let secret_id = vault.call("POST", &format!("{role}/secret-id"), &json!({}));
    let outside = format!(
        "url = 'http://127.0.0.1:{}'\nlogin = 'approle'\nrole_id = {}\nsecret_id = {}\n",
        vault.port(),
        role_id["data"]["role_id"],
        secret_id["data"]["secret_id"],
    );
    let inside = session(&format!("{outside}vault_namespace = 'teams'\n"));
    assert_eq!(read(&inside, "secret/app").await["a"], "inside");
    assert!(inside.lookup_self(&Steps::new()).await.is_ok());
    assert!(inside.health(&Steps::new()).await.is_ok_and(|health| !health.sealed));
    let line = read_failure(&session(&outside), "secret/app").await;
    assert!(line.starts_with("login: approle login refused"), "{line}");
    let root = session(&vault.with_token(ROOT_TOKEN));
    assert_eq!(read(&root, "secret/app").await["a"], "outside");
}

/// Logs in beside the sessions, as an application with the same role does.
fn log_in(vault: &Vault, settings: &str, secret_id: &str) -> bool {
    let role_id = settings.lines().find(|line| line.starts_with("role_id")).unwrap();
    let role_id = role_id.split('"').nth(1).unwrap();
    let body = json!({"role_id": role_id, "secret_id": secret_id});
    vault.api("POST", "auth/approle/login", &body).is_ok()
}

#[tokio::test]
async fn a_wrong_secret_id_does_not_lock_the_role() {
    let vault = Vault::start().unwrap();
    let settings = vault.app_role(&json!({}));
    let secret_id = settings.lines().find(|line| line.starts_with("secret_id")).unwrap();
    let right = secret_id.split('"').nth(1).unwrap();
    let wrong = session(&settings.replace(right, "wrong"));
    let refused = "login: approle login refused: invalid role or secret ID (status 400)";
    assert_eq!(read_failure(&wrong, "secret/app").await, refused);
    for _ in 0..20 {
        let line = read_failure(&wrong, "secret/app").await;
        assert!(line.starts_with(&format!("{refused}, refused ")), "{line}");
        assert!(line.contains("s ago, next attempt in "), "{line}");
        assert_eq!(wrong.lookup_self(&Steps::new()).await.unwrap_err().step(), "login");
    }
    // Of the five failures that lock a role, one has happened.
    for _ in 0..3 {
        assert!(!log_in(&vault, &settings, "wrong"));
    }
    assert!(log_in(&vault, &settings, right), "the role is locked");
    for _ in 0..5 {
        assert!(!log_in(&vault, &settings, "wrong"));
    }
    assert!(!log_in(&vault, &settings, right), "the server does not lock a role");
}

/// The settings of `vault` with the address of `proxy`.
fn through(proxy: &FaultProxy, vault: &Vault, settings: &str) -> String {
    settings.replace(&format!("127.0.0.1:{}", vault.port()), &proxy.address().to_string())
}

#[tokio::test]
async fn a_token_of_a_login_whose_caller_is_cancelled_is_used_and_revoked() {
    let vault = Vault::start().unwrap();
    let settings = vault.app_role(&json!({}));
    let before = vault.accessors();
    let proxy = FaultProxy::start(([127, 0, 0, 1], vault.port()).into());
    let session = session(&through(&proxy, &vault, &settings));
    proxy.delay(Duration::from_millis(500));
    let steps = Steps::new();
    tokio::select! {
        state = session.lookup_self(&steps) => panic!("no login was in flight: {state:?}"),
        () = wait_until("a token", || vault.accessors().len() == before.len() + 1) => {}
    }
    assert_eq!(steps.current(), "login", "its answer is awaited");
    proxy.heal();
    session.lookup_self(&Steps::new()).await.unwrap();
    assert_eq!(vault.accessors().len(), before.len() + 1);
    drop(session);
    wait_until("the token to be revoked", || vault.accessors() == before).await;
}

#[tokio::test]
async fn a_cancelled_check_of_the_login_leaves_one_token() {
    let vault = Vault::start().unwrap();
    let settings = vault.app_role(&json!({}));
    let before = vault.accessors();
    let proxy = FaultProxy::start(([127, 0, 0, 1], vault.port()).into());
    let session = session(&through(&proxy, &vault, &settings));
    session.lookup_self(&Steps::new()).await.unwrap();
    let first = vault.accessors();
    proxy.delay(Duration::from_millis(500));
    let (steps, short) = (Steps::new(), Reconnect::after(Duration::from_millis(1)));
    tokio::select! {
        result = session.prove_login(&steps, short) => panic!("no login: {result:?}"),
        () = wait_until("another token", || vault.accessors().len() == before.len() + 2) => {}
    }
    proxy.heal();
    wait_until("the end of the first token", || {
        let now = vault.accessors();
        now.len() == first.len() && now != first
    })
    .await;
    session.close().await;
    assert_eq!(vault.accessors(), before);
}

#[tokio::test]
async fn a_slow_login_is_sent_once() {
    let vault = Vault::start().unwrap();
    let settings = vault.app_role(&json!({}));
    let before = vault.accessors().len();
    let proxy = FaultProxy::start(([127, 0, 0, 1], vault.port()).into());
    let session = session(&through(&proxy, &vault, &settings));
    session.health(&Steps::new()).await.unwrap();
    proxy.swallow_open();
    // Other requests would be sent on a second connection after a quarter of this.
    let limit = Duration::from_millis(400);
    let steps = Steps::within(limit);
    assert!(timeout(limit, session.lookup_self(&steps)).await.is_err(), "sent twice");
    assert_eq!((steps.current(), proxy.counts().accepted), ("login", 1));
    proxy.heal();
    session.lookup_self(&Steps::new()).await.unwrap();
    assert_eq!(vault.accessors().len(), before + 1);
}
