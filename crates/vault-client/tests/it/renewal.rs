//! Tokens that live for seconds and are kept alive for longer.

use std::time::Duration;

use probe::Steps;
use serde_json::json;
use stack::vault::Vault;

use crate::bench::{Root, read, read_failure, session, until};

#[tokio::test]
async fn a_renewable_token_outlives_its_length() {
    let vault = Vault::start().unwrap();
    let token = vault.token(&json!({"ttl": "3s", "policies": ["default"]}));
    let session = session(&vault.with_token(&token));
    let state = session.lookup_self(&Steps::new()).await.unwrap();
    assert!(state.kept_alive && state.trouble.is_none());
    until("renewals beyond its length", || {
        let data = vault.root("POST", "auth/token/lookup", &json!({"token": token}));
        let time = |key: &str| data["data"][key].as_u64().unwrap_or_default();
        time("last_renewal_time") > time("creation_time") + 3
    })
    .await;
    session.lookup_self(&Steps::new()).await.unwrap();
}

#[tokio::test]
async fn a_token_that_nobody_looked_up_is_renewed_as_well() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let allowed = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    vault.root("PUT", "sys/policies/acl/health", &json!({"policy": allowed}));
    let token = vault.token(&json!({"ttl": "4s", "policies": ["health"]}));
    let session = session(&vault.with_token(&token));
    read(&session, "secret/app").await;
    until("a renewal", || {
        let data = vault.root("POST", "auth/token/lookup", &json!({"token": token}));
        data["data"]["last_renewal_time"].is_u64()
    })
    .await;
}

#[tokio::test]
async fn a_token_at_its_maximum_is_replaced_before_it_ends() {
    let vault = Vault::start().unwrap();
    let role = json!({"token_ttl": "4s", "token_max_ttl": "5s"});
    let session = session(&vault.app_role(&role));
    session.lookup_self(&Steps::new()).await.unwrap();
    let first = vault.accessors();
    // Nobody uses the session meanwhile.
    until("another token, and the end of the first", || {
        let now = vault.accessors();
        now.len() == first.len() && now != first
    })
    .await;
    let state = session.lookup_self(&Steps::new()).await.unwrap();
    assert!(state.kept_alive && state.trouble.is_none());
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_replaced_if_a_login_gave_it() {
    let vault = Vault::start().unwrap();
    let batch = json!({"token_ttl": "4s", "token_type": "batch"});
    let session = session(&vault.app_role(&batch));
    let mut before = session.lookup_self(&Steps::new()).await.unwrap();
    assert!(before.kept_alive);
    let replaced = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let now = session.lookup_self(&Steps::new()).await.unwrap();
            // Only another token has more time left.
            if now.ttl > before.ttl {
                return before.ttl;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let left = replaced.await.unwrap().unwrap();
    assert!(left > Duration::from_millis(500), "it was used to its end: {left:?}");
}

#[tokio::test]
async fn a_renewal_that_fails_is_told_with_the_token() {
    let vault = Vault::start().unwrap();
    // Looking itself up is all that this token may do.
    let allowed = r#"path "auth/token/lookup-self" { capabilities = ["read"] }"#;
    vault.root("PUT", "sys/policies/acl/modest", &json!({"policy": allowed}));
    let settings = json!({"ttl": "4s", "policies": ["modest"], "no_default_policy": true});
    let session = session(&vault.with_token(&vault.token(&settings)));
    let trouble = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let state = session.lookup_self(&Steps::new()).await.unwrap();
            if let Some(trouble) = state.trouble {
                return trouble;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let line = trouble.await.unwrap().render("");
    assert_eq!(line, "renew: permission denied (status 403)");
}

#[tokio::test]
async fn a_silent_vault_is_not_waited_for_in_the_background() {
    let vault = Vault::start().unwrap();
    let session = session(&vault.app_role(&json!({})));
    vault.server.pause();
    let line = tokio::time::timeout(Duration::from_secs(30), read_failure(&session, "secret/app"));
    assert_eq!(line.await.unwrap(), "login: no answer within 5 s");
    vault.server.resume();
    vault.put_secret(&json!({"a": "b"}));
    assert_eq!(read(&session, "secret/app").await["a"], "b");
}
