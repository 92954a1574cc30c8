//! Secrets from key-value stores.

use serde_json::{Value, json};
use stack::http::request;
use stack::vault::{ROOT_TOKEN, Vault};

use crate::bench::{Root, read, read_failure, session};
use crate::listener::Listener;

#[tokio::test]
async fn a_secret_is_read_from_stores_of_both_versions_wherever_they_are_mounted() {
    let vault = Vault::start().unwrap();
    let values = json!({"text": "caf\u{e9}", "number": 5432, "nested": {"a": [true, null]}});
    vault.root("POST", "sys/mounts/kv1", &json!({"type": "kv"}));
    vault.root("POST", "kv1/deep/app", &values);
    vault.put_secret(&values);
    let second = json!({"type": "kv", "options": {"version": "2"}});
    vault.root("POST", "sys/mounts/teams/a/kv", &second);
    vault.root("POST", "teams/a/kv/data/app", &json!({"data": values}));
    let session = session(&vault.with_token(ROOT_TOKEN));
    for path in ["kv1/deep/app", "secret/app", "teams/a/kv/app", "/secret/app/"] {
        let secret = read(&session, path).await;
        let values: Vec<_> =
            secret.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected =
            [("nested", r#"{"a":[true,null]}"#), ("number", "5432"), ("text", "caf\u{e9}")];
        assert_eq!(values, expected, "{path}");
    }
}

#[tokio::test]
async fn missing_deleted_and_destroyed_secrets_are_told_apart() {
    let vault = Vault::start().unwrap();
    let session = session(&vault.with_token(ROOT_TOKEN));
    assert_eq!(read_failure(&session, "secret/app").await, "read: no secret at `secret/app`");
    vault.put_secret(&json!({"a": "b"}));
    vault.root("DELETE", "secret/data/app", &Value::Null);
    assert_eq!(
        read_failure(&session, "secret/app").await,
        "read: the latest version of `secret/app` was deleted"
    );
    vault.root("PUT", "secret/destroy/app", &json!({"versions": [1]}));
    assert_eq!(
        read_failure(&session, "secret/app").await,
        "read: the latest version of `secret/app` was destroyed"
    );
    vault.root("POST", "sys/mounts/kv1", &json!({"type": "kv"}));
    assert_eq!(read_failure(&session, "kv1/app").await, "read: no secret at `kv1/app`");
    assert_eq!(read_failure(&session, "nowhere/app").await, "read: no secret at `nowhere/app`");
}

#[tokio::test]
async fn a_path_that_is_not_allowed_costs_no_new_login() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "b"}));
    let session = session(&vault.app_role(&json!({})));
    assert_eq!(read(&session, "secret/app").await["a"], "b");
    let before = vault.accessors();
    for path in ["secret/other", "secret/other", "kv1/other"] {
        let expected = format!("read: permission denied for `{path}`");
        assert_eq!(read_failure(&session, path).await, expected);
    }
    assert_eq!(vault.accessors(), before);
}

#[tokio::test]
async fn an_engine_that_makes_secrets_up_is_not_asked_for_one() {
    let vault = Vault::start().unwrap();
    vault.root("POST", "sys/mounts/transit", &json!({"type": "transit"}));
    let session = session(&vault.with_token(ROOT_TOKEN));
    assert_eq!(
        read_failure(&session, "transit/random").await,
        "read: `transit/` is no key-value store"
    );
}

#[tokio::test]
async fn a_store_whose_version_cannot_be_asked_for_is_read_all_the_same() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "second"}));
    vault.root("POST", "sys/mounts/kv1", &json!({"type": "kv"}));
    vault.root("POST", "kv1/app", &json!({"a": "first"}));
    let upstream = ([127, 0, 0, 1], vault.port()).into();
    // As a proxy that keeps `sys/` to itself.
    let gate = Listener::start(move |asked| {
        let path = asked.head.split(' ').nth(1).unwrap();
        if path.starts_with("/v1/sys/") {
            return (403, String::new(), r#"{"errors":["permission denied"]}"#.to_owned());
        }
        let token = format!("X-Vault-Token: {ROOT_TOKEN}");
        let answer = request(upstream, "GET", path, &[&token], "").unwrap();
        (answer.status, "content-type: application/json\r\n".to_owned(), answer.body)
    });
    let session = session(&format!("url = 'http://{}'\ntoken = '{ROOT_TOKEN}'", gate.address));
    assert_eq!(read(&session, "secret/app").await["a"], "second");
    assert_eq!(read(&session, "kv1/app").await["a"], "first");
    assert_eq!(read_failure(&session, "kv1/nothing").await, "read: no secret at `kv1/nothing`");
}
