//! Shared helpers: sessions from settings, and requests to a private Vault.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::config::{Diagnostics, Fields, Node as ConfigNode};
use probe::{SharedResources, Steps};
use serde_json::{Value, json};
use stack::vault::{Node, Vault};
use vault_client::Session;

/// Longer than any wait in these tests takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Creates an unshared session with these settings.
#[track_caller]
pub(crate) fn session(toml: &str) -> Arc<Session> {
    shared_session(&SharedResources::default(), toml)
}

/// Creates or finds the session with these settings in `shared`.
#[track_caller]
pub(crate) fn shared_session(shared: &SharedResources, toml: &str) -> Arc<Session> {
    let (session, diagnostics) = read_settings(shared, toml);
    session.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

/// The diagnostics of these settings.
pub(crate) fn diagnostics(toml: &str) -> Vec<String> {
    let (session, diagnostics) = read_settings(&SharedResources::default(), toml);
    assert!(session.is_none() || !diagnostics.is_empty());
    diagnostics
}

fn read_settings(shared: &SharedResources, toml: &str) -> (Option<Arc<Session>>, Vec<String>) {
    let (node, diagnostics) = (ConfigNode::parse(toml).unwrap(), Diagnostics::default());
    let mut fields = Fields::new("vault".to_owned(), &node, &diagnostics);
    let session = Session::read_settings(&mut fields, shared);
    fields.finish();
    (session, diagnostics.into_diagnostics().iter().map(ToString::to_string).collect())
}

/// Requests with the root token of a private Vault.
pub(crate) trait RootApi {
    /// Sends one request and panics unless it succeeds.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value;

    /// The port on 127.0.0.1.
    fn local_port(&self) -> u16;

    /// Enables `AppRole` logins with a role `health` that has `settings` and may read `secret/app`. Returns the session's settings.
    fn app_role(&self, settings: &Value) -> String {
        self.call("POST", "sys/auth/approle", &json!({"type": "approle"}));
        let allowed = r#"path "secret/data/app" { capabilities = ["read"] }"#;
        self.call("PUT", "sys/policies/acl/health", &json!({"policy": allowed}));
        let role = "auth/approle/role/health";
        let mut settings = settings.clone();
        settings["token_policies"] = json!(["health"]);
        self.call("POST", role, &settings);
        let role_id = self.call("GET", &format!("{role}/role-id"), &Value::Null);
        let secret_id = self.call("POST", &format!("{role}/secret-id"), &json!({}));
        format!(
            "url = 'http://127.0.0.1:{}'\nlogin = 'approle'\nrole_id = {}\nsecret_id = {}\n",
            self.local_port(),
            role_id["data"]["role_id"],
            secret_id["data"]["secret_id"],
        )
    }

    /// Creates a token.
    fn token(&self, settings: &Value) -> String {
        let response = self.call("POST", "auth/token/create", settings);
        response["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// The settings of a session with this token.
    fn with_token(&self, token: &str) -> String {
        format!("url = 'http://127.0.0.1:{}'\ntoken = '{token}'\n", self.local_port())
    }

    /// The accessors of all valid tokens.
    fn accessors(&self) -> Vec<String> {
        let list = self.call("LIST", "auth/token/accessors", &Value::Null);
        let keys = list["data"]["keys"].as_array().unwrap();
        keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// Writes `values` to `secret/app`.
    fn put_secret(&self, values: &Value) {
        self.call("POST", "secret/data/app", &json!({"data": values}));
    }
}

impl RootApi for Vault {
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.api(method, path, body).unwrap()
    }

    fn local_port(&self) -> u16 {
        self.port()
    }
}

impl RootApi for Node {
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.api(method, path, body).unwrap()
    }

    fn local_port(&self) -> u16 {
        self.port()
    }
}

/// Reads a secret and exposes its values.
pub(crate) async fn read(session: &Session, path: &str) -> BTreeMap<String, String> {
    let secrets = session.read(&Steps::new(), path, Instant::now()).await;
    let secrets = secrets.unwrap_or_else(|failure| panic!("{}", failure.render(session.target())));
    secrets.iter().map(|(key, value)| (key.clone(), value.expose().to_owned())).collect()
}

/// The error line of a failed read, without its target.
pub(crate) async fn read_failure(session: &Session, path: &str) -> String {
    session.read(&Steps::new(), path, Instant::now()).await.unwrap_err().render("")
}

/// Polls until `condition` holds.
pub(crate) async fn wait_until(description: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(TIMEOUT, wait).await.is_ok(),
        "timed out waiting for {description}"
    );
}
