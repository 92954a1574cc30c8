//! Renewal of tokens that expire within seconds.

use std::time::Duration;

use probe::Steps;
use serde_json::json;
use stack::vault::Vault;

use crate::fixtures::{RootApi, read, read_failure, session, wait_until};

#[tokio::test]
async fn a_renewable_token_is_renewed_beyond_its_first_lease() {
    let vault = Vault::start().unwrap();
    let token = vault.token(&json!({"ttl": "3s", "policies": ["default"]}));
    let session = session(&vault.with_token(&token));
    let state = session.lookup_self(&Steps::new()).await.unwrap();
    assert!(state.auto_renewed && state.last_error.is_none());
    wait_until("renewals beyond the first lease", || {
        let data = vault.call("POST", "auth/token/lookup", &json!({"token": token}));
        let time = |key: &str| data["data"][key].as_u64().unwrap_or_default();
        time("last_renewal_time") > time("creation_time") + 3
    })
    .await;
    session.lookup_self(&Steps::new()).await.unwrap();
}

#[tokio::test]
async fn a_configured_token_is_renewed_without_a_lookup_by_a_check() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let allowed = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    vault.call("PUT", "sys/policies/acl/health", &json!({"policy": allowed}));
    let token = vault.token(&json!({"ttl": "4s", "policies": ["health"]}));
    let session = session(&vault.with_token(&token));
    read(&session, "secret/app").await;
    wait_until("a renewal", || {
        let data = vault.call("POST", "auth/token/lookup", &json!({"token": token}));
        data["data"]["last_renewal_time"].is_u64()
    })
    .await;
}

#[tokio::test]
async fn a_token_at_its_maximum_lifetime_is_replaced_before_it_expires() {
    let vault = Vault::start().unwrap();
    let role = json!({"token_ttl": "4s", "token_max_ttl": "5s"});
    let session = session(&vault.app_role(&role));
    session.lookup_self(&Steps::new()).await.unwrap();
    let first = vault.accessors();
    // The session is idle in the meantime.
    wait_until("a second token and the end of the first", || {
        let now = vault.accessors();
        now.len() == first.len() && now != first
    })
    .await;
    let state = session.lookup_self(&Steps::new()).await.unwrap();
    assert!(state.auto_renewed && state.last_error.is_none());
}

#[tokio::test]
async fn a_token_from_a_login_that_is_not_renewable_is_replaced() {
    let vault = Vault::start().unwrap();
    let batch = json!({"token_ttl": "4s", "token_type": "batch"});
    let session = session(&vault.app_role(&batch));
    let mut before = session.lookup_self(&Steps::new()).await.unwrap();
    assert!(before.auto_renewed);
    let replaced = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let now = session.lookup_self(&Steps::new()).await.unwrap();
            // Only a new token has a longer remaining lifetime.
            if now.ttl > before.ttl {
                return before.ttl;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let left = replaced.await.unwrap().unwrap();
    assert!(left > Duration::from_millis(500), "replaced only {left:?} before it expired");
}

#[tokio::test]
async fn a_failed_renewal_is_reported_by_the_lookup() {
    let vault = Vault::start().unwrap();
    // The token may only look itself up.
    let allowed = r#"path "auth/token/lookup-self" { capabilities = ["read"] }"#;
    vault.call("PUT", "sys/policies/acl/lookup-only", &json!({"policy": allowed}));
    let settings = json!({"ttl": "4s", "policies": ["lookup-only"], "no_default_policy": true});
    let session = session(&vault.with_token(&vault.token(&settings)));
    let last_error = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let state = session.lookup_self(&Steps::new()).await.unwrap();
            if let Some(last_error) = state.last_error {
                return last_error;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let line = last_error.await.unwrap().render("");
    assert_eq!(line, "renew: permission denied (status 403)");
}

#[tokio::test]
async fn a_background_read_from_a_silent_vault_times_out() {
    let vault = Vault::start().unwrap();
    let session = session(&vault.app_role(&json!({})));
    vault.server.pause();
    let line = tokio::time::timeout(Duration::from_secs(30), read_failure(&session, "secret/app"));
    assert_eq!(line.await.unwrap(), "login: no answer within 5 s");
    vault.server.resume();
    vault.put_secret(&json!({"a": "b"}));
    assert_eq!(read(&session, "secret/app").await["a"], "b");
}
