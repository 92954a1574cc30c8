//! How sessions get their tokens, replace them and give them back.

use futures_util::future::join_all;
use probe::{SharedResources, Steps};
use probe_testkit::FaultProxy;
use serde_json::{Value, json};
use stack::vault::{ROOT_TOKEN, Vault};

use crate::bench::{Root, read, read_failure, session, session_among, until};

#[tokio::test]
async fn many_callers_make_one_login_on_one_connection() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let settings = vault.app_role(&json!({}));
    let before = vault.accessors().len();
    let proxy = FaultProxy::start(([127, 0, 0, 1], vault.port()).into());
    let settings =
        settings.replace(&format!("127.0.0.1:{}", vault.port()), &proxy.address().to_string());
    let shared = SharedResources::default();
    let sessions: Vec<_> = (0..10).map(|_| session_among(&shared, &settings)).collect();
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
        "url = 'http://127.0.0.1:{}'\nlogin = 'approle'\nrole_id = 'nobody'\nsecret_id = 'x'\n",
        vault.port()
    );
    assert_eq!(
        read_failure(&session(&wrong), "secret/app").await,
        "login: approle login refused: invalid role or secret ID (status 400)"
    );
    let elsewhere = session(&format!("{wrong}mount = 'teams/a'\n"));
    assert_eq!(
        read_failure(&elsewhere, "secret/app").await,
        "login: approle login refused: permission denied (status 403)"
    );
}

#[tokio::test]
async fn a_wrong_token_is_said_to_be_invalid() {
    let vault = Vault::start().unwrap();
    let session = session(&vault.with_token("s.nobody-knows-this-one"));
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
    vault.root("PUT", "sys/leases/revoke-prefix/auth/approle/login", &json!({}));
    assert_eq!(read(&session, "secret/app").await["a"], "b");
    vault.root("PUT", "sys/leases/revoke-prefix/auth/approle/login", &json!({}));
    session.lookup_self(&Steps::new()).await.unwrap();
}

#[tokio::test]
async fn a_vault_that_lost_everything_and_was_set_up_again_is_used_again() {
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
    vault.root("POST", &format!("{role}/role-id"), &role_id);
    let secret_id = json!({"secret_id": value("secret_id")});
    vault.root("POST", &format!("{role}/custom-secret-id"), &secret_id);
    assert_eq!(read(&session, "secret/app").await["a"], "c");
}

#[tokio::test]
async fn a_session_that_nobody_uses_any_more_leaves_no_token() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let settings = vault.app_role(&json!({}));
    let before = vault.accessors();
    let session = session(&settings);
    read(&session, "secret/app").await;
    assert_ne!(vault.accessors(), before);
    drop(session);
    until("the token to be revoked", || vault.accessors() == before).await;
}

#[tokio::test]
async fn closing_a_session_revokes_what_it_got_and_nothing_that_it_was_given() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let settings = vault.app_role(&json!({}));
    let given = vault.token(&json!({"ttl": "1h"}));
    let before = vault.accessors();
    for settings in [settings, vault.with_token(&given)] {
        let session = session(&settings);
        session.lookup_self(&Steps::new()).await.unwrap();
        session.close().await;
        assert_eq!(vault.accessors(), before);
    }
}

#[tokio::test]
async fn everything_happens_in_the_namespace_that_was_named() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "outside"}));
    vault.root("POST", "sys/namespaces/teams", &json!({}));
    let second = json!({"type": "kv", "options": {"version": "2"}});
    vault.root("POST", "teams/sys/mounts/secret", &second);
    until("the store to be ready", || {
        let inside = json!({"data": {"a": "inside"}});
        vault.api("POST", "teams/secret/data/app", &inside).is_ok()
    })
    .await;
    vault.root("POST", "teams/sys/auth/approle", &json!({"type": "approle"}));
    let allowed = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    vault.root("PUT", "teams/sys/policies/acl/health", &json!({"policy": allowed}));
    let role = "teams/auth/approle/role/health";
    vault.root("POST", role, &json!({"token_policies": ["health"]}));
    let role_id = vault.root("GET", &format!("{role}/role-id"), &Value::Null);
    let secret_id = vault.root("POST", &format!("{role}/secret-id"), &json!({}));
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
