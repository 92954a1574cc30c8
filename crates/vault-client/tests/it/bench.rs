//! What every test needs: a session from its settings, and a private Vault with something in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use probe::config::{Diagnostics, Fields, Node};
use probe::{Secret, SharedResources, Steps};
use serde_json::{Value, json};
use stack::vault::{Node as Server, Vault};
use vault_client::Session;

/// Longer than anything here ever took on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The session with these settings, shared with nobody.
#[track_caller]
pub(crate) fn session(toml: &str) -> Arc<Session> {
    session_among(&SharedResources::default(), toml)
}

/// The session with these settings, among others.
#[track_caller]
pub(crate) fn session_among(shared: &SharedResources, toml: &str) -> Arc<Session> {
    let (session, diagnostics) = read_settings(shared, toml);
    session.unwrap_or_else(|| panic!("{diagnostics:?}"))
}

/// Everything that is wrong with these settings.
pub(crate) fn diagnostics(toml: &str) -> Vec<String> {
    let (session, diagnostics) = read_settings(&SharedResources::default(), toml);
    assert!(session.is_none() || !diagnostics.is_empty());
    diagnostics
}

fn read_settings(shared: &SharedResources, toml: &str) -> (Option<Arc<Session>>, Vec<String>) {
    let (node, diagnostics) = (Node::parse(toml).unwrap(), Diagnostics::default());
    let mut fields = Fields::new("vault".to_owned(), &node, &diagnostics);
    let session = Session::read_settings(&mut fields, shared);
    fields.finish();
    (session, diagnostics.into_diagnostics().iter().map(ToString::to_string).collect())
}

/// A Vault that a test can ask with the root token.
pub(crate) trait Root {
    /// One request; anything but a success fails the test.
    fn root(&self, method: &str, path: &str, body: &Value) -> Value;

    /// The port on 127.0.0.1.
    fn at(&self) -> u16;

    /// Enables `AppRole` logins with a role `health` that has `settings` and may read `secret/app`; answers the session's settings.
    fn app_role(&self, settings: &Value) -> String {
        self.root("POST", "sys/auth/approle", &json!({"type": "approle"}));
        let allowed = r#"path "secret/data/app" { capabilities = ["read"] }"#;
        self.root("PUT", "sys/policies/acl/health", &json!({"policy": allowed}));
        let role = "auth/approle/role/health";
        let mut settings = settings.clone();
        settings["token_policies"] = json!(["health"]);
        self.root("POST", role, &settings);
        let role_id = self.root("GET", &format!("{role}/role-id"), &Value::Null);
        let secret_id = self.root("POST", &format!("{role}/secret-id"), &json!({}));
        format!(
            "url = 'http://127.0.0.1:{}'\nlogin = 'approle'\nrole_id = {}\nsecret_id = {}\n",
            self.at(),
            role_id["data"]["role_id"],
            secret_id["data"]["secret_id"],
        )
    }

    /// A new token, as its answer describes it.
    fn token(&self, settings: &Value) -> String {
        let answer = self.root("POST", "auth/token/create", settings);
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// Settings with this token.
    fn with_token(&self, token: &str) -> String {
        format!("url = 'http://127.0.0.1:{}'\ntoken = '{token}'\n", self.at())
    }

    /// The tokens that are alive, by their accessors.
    fn accessors(&self) -> Vec<String> {
        let list = self.root("LIST", "auth/token/accessors", &Value::Null);
        let keys = list["data"]["keys"].as_array().unwrap();
        keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// Puts `values` at `secret/app`.
    fn put_secret(&self, values: &Value) {
        self.root("POST", "secret/data/app", &json!({"data": values}));
    }
}

impl Root for Vault {
    fn root(&self, method: &str, path: &str, body: &Value) -> Value {
        self.api(method, path, body).unwrap()
    }

    fn at(&self) -> u16 {
        self.port()
    }
}

impl Root for Server {
    fn root(&self, method: &str, path: &str, body: &Value) -> Value {
        self.api(method, path, body).unwrap()
    }

    fn at(&self) -> u16 {
        self.port()
    }
}

/// Reads a secret and shows what nobody else should.
pub(crate) async fn read(session: &Session, path: &str) -> BTreeMap<String, String> {
    let secrets = session.read(&Steps::new(), path).await;
    let secrets = secrets.unwrap_or_else(|failure| panic!("{}", failure.render(session.target())));
    secrets.into_iter().map(|(key, value)| (key, Secret::expose(&value).to_owned())).collect()
}

/// The line of a read that fails, without its target.
pub(crate) async fn read_failure(session: &Session, path: &str) -> String {
    session.read(&Steps::new(), path).await.unwrap_err().render("")
}

/// Looks again and again until something has happened on a server that tells nobody.
pub(crate) async fn until(what: &str, happened: impl Fn() -> bool) {
    let wait = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited in vain for {what}");
}
