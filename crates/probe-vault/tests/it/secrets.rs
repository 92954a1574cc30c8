//! Secrets that must be readable, and secrets that can no longer be read.

use std::sync::Arc;
use std::time::Instant;

use probe::config::{Diagnostics, Fields, Node};
use probe::{Checks, DynCheck, SharedResources, Steps};
use probe_testkit::diagnostics;
use probe_vault::KIND;
use serde_json::json;
use stack::vault::{Vault, api};
use vault_client::Session;

use crate::{assert_fails, check, new_token, once, with_token};

/// Sets the policy `app`, which may read these API paths.
fn set_policy(port: u16, paths: &[&str]) {
    let rules: Vec<_> = paths
        .iter()
        .map(|path| format!("path \"{path}\" {{ capabilities = [\"read\"] }}"))
        .collect();
    let policy = json!({"policy": rules.join("\n")});
    api(port, "PUT", "sys/policies/acl/app", &policy).unwrap();
}

fn write(port: u16, name: &str) {
    let secret = json!({"data": {"password": "s3cret-of-the-app"}});
    api(port, "POST", &format!("secret/data/{name}"), &secret).unwrap();
}

#[tokio::test]
async fn the_configured_paths_must_be_readable() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    write(port, "app/db");
    write(port, "app/cache");
    set_policy(port, &["secret/data/app/db", "secret/data/app/cache"]);
    let token = new_token(port, &json!({"ttl": "1h", "policies": ["default", "app"]}));
    let paths = "paths = ['secret/app/db', 'secret/app/cache']";
    let readable = with_token(port, &token, paths);
    once(&readable).await.expect_working();
    set_policy(port, &["secret/data/app/db"]);
    let expected = "read: permission denied for `secret/app/cache`";
    assert_fails(&once(&readable).await, port, expected);
    set_policy(port, &["secret/data/app/db", "secret/data/app/cache"]);
    once(&readable).await.expect_working();
    once(&with_token(port, &token, "")).await.expect_working();
    let missing = check(port, "paths = ['secret/app/mail']");
    assert_fails(&once(&missing).await, port, "read: no secret at `secret/app/mail`");
}

/// The check of a namespace that has these settings and refers to the secret at `path`.
fn check_referring(toml: &str, path: &str, shared: &SharedResources) -> Arc<dyn DynCheck> {
    let (node, errors) = (Node::parse(toml).unwrap(), Diagnostics::default());
    let built = KIND.read("vault", &node, shared, &[path.to_owned()].into(), &errors);
    let Some(Checks::Single(check)) = built else { panic!("{:?}", errors.into_diagnostics()) };
    check
}

#[tokio::test]
async fn a_secret_that_can_no_longer_be_read_is_reported_while_it_is_in_use() {
    let vault = Vault::start().unwrap();
    let port = vault.port();
    write(port, "app/db");
    set_policy(port, &["secret/data/app/db"]);
    let token = new_token(port, &json!({"ttl": "1h", "policies": ["default", "app"]}));
    let toml = format!("url = 'http://127.0.0.1:{port}'\ntoken = '{token}'\n");
    let shared = SharedResources::default();
    let check = check_referring(&toml, "secret/app/db", &shared);
    let other = check_referring(&toml, "secret/other/db", &shared);
    let (node, errors) = (Node::parse(&toml).unwrap(), Diagnostics::default());
    let mut fields = Fields::new(String::new(), &node, &errors);
    let session = Session::read_settings(&mut fields, &shared).unwrap();
    let read =
        || async { session.read(&Steps::new(), "secret/app/db", Instant::now()).await.is_ok() };

    // A secret that has never been read has no value in use: the checks that need it fail.
    assert!(session.read(&Steps::new(), "secret/app/mail", Instant::now()).await.is_err());
    assert!(read().await);
    once(&check).await.expect_working();

    set_policy(port, &["secret/data/app/cache"]);
    assert!(!read().await);
    let outcome = once(&check).await;
    let line = outcome.line();
    let beginning = "read secret: permission denied for `secret/app/db`, the value of ";
    let end = format!("s ago is in use (127.0.0.1:{port})");
    assert!(line.starts_with(beginning) && line.ends_with(&end), "{line}");
    // A namespace that shares the session and does not refer to the secret is not affected.
    once(&other).await.expect_working();

    set_policy(port, &["secret/data/app/db"]);
    assert!(read().await);
    once(&check).await.expect_working();
}

#[test]
fn a_path_has_no_key() {
    for wrong in ["secret", "secret/app#key", "secret//app", "/secret/app"] {
        let toml = format!("url = 'http://vault:8200'\ntoken = 'a'\npaths = ['{wrong}']\n");
        let expected =
            "3: vault.paths: expected paths such as `secret/production/app`, without a key";
        assert_eq!(diagnostics(&KIND, "vault", &toml), [expected]);
    }
}
