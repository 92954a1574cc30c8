//! Secrets from key-value stores.

use std::sync::Arc;
use std::time::Instant;

use probe::Steps;
use serde_json::{Value, json};
use stack::vault::{ROOT_TOKEN, Vault};

use crate::fake_server::FakeServer;
use crate::fixtures::{RootApi, read, read_failure, session};

#[tokio::test]
async fn secrets_are_read_from_stores_of_both_versions_at_any_mount() {
    let vault = Vault::start().unwrap();
    let values = json!({"text": "caf\u{e9}", "number": 5432, "nested": {"a": [true, null]}});
    vault.call("POST", "sys/mounts/kv1", &json!({"type": "kv"}));
    vault.call("POST", "kv1/deep/app", &values);
    vault.put_secret(&values);
    let second = json!({"type": "kv", "options": {"version": "2"}});
    vault.call("POST", "sys/mounts/teams/a/kv", &second);
    vault.call("POST", "teams/a/kv/data/app", &json!({"data": values}));
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
async fn missing_deleted_and_destroyed_secrets_are_distinguished() {
    let vault = Vault::start().unwrap();
    let session = session(&vault.with_token(ROOT_TOKEN));
    assert_eq!(read_failure(&session, "secret/app").await, "read: no secret at `secret/app`");
    vault.put_secret(&json!({"a": "b"}));
    vault.call("DELETE", "secret/data/app", &Value::Null);
    assert_eq!(
        read_failure(&session, "secret/app").await,
        "read: the latest version of `secret/app` was deleted"
    );
    vault.call("PUT", "secret/destroy/app", &json!({"versions": [1]}));
    assert_eq!(
        read_failure(&session, "secret/app").await,
        "read: the latest version of `secret/app` was destroyed"
    );
    vault.call("POST", "sys/mounts/kv1", &json!({"type": "kv"}));
    assert_eq!(read_failure(&session, "kv1/app").await, "read: no secret at `kv1/app`");
    assert_eq!(read_failure(&session, "nowhere/app").await, "read: no secret at `nowhere/app`");
}

#[tokio::test]
async fn a_forbidden_path_causes_no_login() {
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
async fn no_secret_is_read_from_an_engine_that_issues_credentials() {
    let vault = Vault::start().unwrap();
    vault.call("POST", "sys/mounts/transit", &json!({"type": "transit"}));
    let session = session(&vault.with_token(ROOT_TOKEN));
    assert_eq!(
        read_failure(&session, "transit/random").await,
        "read: `transit/` is not a key-value store"
    );
}

#[tokio::test]
async fn a_store_that_may_not_be_discovered_is_read() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "second"}));
    vault.call("POST", "sys/mounts/kv1", &json!({"type": "kv"}));
    vault.call("POST", "kv1/app", &json!({"a": "first"}));
    let upstream = ([127, 0, 0, 1], vault.port()).into();
    // A proxy that does not forward `sys/`.
    let proxy = FakeServer::start(move |request| {
        let path = request.head.split(' ').nth(1).unwrap();
        if path.starts_with("/v1/sys/") {
            return (403, String::new(), r#"{"errors":["permission denied"]}"#.to_owned());
        }
        let token = format!("X-Vault-Token: {ROOT_TOKEN}");
        let response = stack::http::request(upstream, "GET", path, &[&token], "").unwrap();
        (response.status, "content-type: application/json\r\n".to_owned(), response.body)
    });
    let session = session(&format!("url = 'http://{}'\ntoken = '{ROOT_TOKEN}'", proxy.address));
    assert_eq!(read(&session, "secret/app").await["a"], "second");
    assert_eq!(read(&session, "kv1/app").await["a"], "first");
    assert_eq!(read_failure(&session, "kv1/nothing").await, "read: no secret at `kv1/nothing`");
}

#[tokio::test]
async fn readers_of_one_secret_share_its_reads_while_its_values_are_in_use() {
    let vault = Vault::start().unwrap();
    vault.put_secret(&json!({"a": "first"}));
    let upstream = ([127, 0, 0, 1], vault.port()).into();
    let proxy = FakeServer::start(move |request| {
        let path = request.head.split(' ').nth(1).unwrap();
        let token = format!("X-Vault-Token: {ROOT_TOKEN}");
        let response = stack::http::request(upstream, "GET", path, &[&token], "").unwrap();
        (response.status, "content-type: application/json\r\n".to_owned(), response.body)
    });
    let session = session(&format!("url = 'http://{}'\ntoken = '{ROOT_TOKEN}'", proxy.address));
    let (steps, since) = (Steps::new(), Instant::now());
    let get = |path| session.read(&steps, path, since);
    let reads = |path: &str| {
        let path = format!("GET /v1/secret/data/{path} ");
        proxy.requests().iter().filter(|request| request.head.starts_with(&path)).count()
    };
    let (one, two, three) = tokio::join!(get("secret/app"), get("secret/app"), get("secret/app"));
    let values = one.unwrap();
    assert!(Arc::ptr_eq(&values, &two.unwrap()) && Arc::ptr_eq(&values, &three.unwrap()));
    assert_eq!(reads("app"), 1);
    vault.put_secret(&json!({"a": "second"}));
    assert_eq!(get("secret/app").await.unwrap()["a"].expose(), "first");
    assert_eq!(read(&session, "secret/app").await["a"], "second", "a read since now");
    assert_eq!(reads("app"), 2);
    // The values of that read were dropped, so none are left to share.
    assert_eq!(get("secret/app").await.unwrap()["a"].expose(), "second");
    assert_eq!(reads("app"), 3);
    assert!(get("secret/none").await.is_err() && get("secret/none").await.is_err());
    assert_eq!(reads("none"), 1);
}
