//! Configuration files, and the references in them.

use std::collections::BTreeMap;
use std::path::Path;

use gateway::config::{Configuration, LoadContext, SecretCache};
use probe::{Secret, SharedResources, scrub};
use tempfile::TempDir;

use super::{Call, Target, runtime};
use crate::planted::{PLACEHOLDER, SECRET, leak};

/// A whole file, with planted secrets among its values.
pub(super) const FILE: Target = Target {
    name: "config",
    about: "configuration files",
    max_length: 32 * 1024,
    words: &[
        "{S}",
        "\"",
        "'",
        "\"\"\"",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        ",",
        "#",
        "\n",
        "\\u0000",
        "namespace = ",
        "access_token = ",
        "kind = ",
        "url = ",
        "checks = [",
        "timeout = ",
        "password = ",
        "[postgres]\n",
        "[redis]\n",
        "[cache]\n",
        "[celery]\n",
        "[rabbit]\n",
        "[s3.a]\n",
        "[cloud_front.a]\n",
        "[history.clickhouse]\n",
        "[history.e2e]\n",
        "[vault]\n",
        "[websocket]\n",
        "vault:secret/app#key",
        "${env:SECRET}",
        "${file:secret}",
        "${vault:secret/app#key}",
        "$${",
        "-1",
        "0",
        "1e9",
        "0x7fffffffffffffff",
        "9223372036854775807",
        "true",
        "2026-01-01T00:00:00Z",
        "\"9999999999999999h\"",
        "\"1ms\"",
        "\"0s\"",
        "[1, 2]",
        "nan",
    ],
    repair: None,
    start: start_file,
};

/// The text of one setting, in which everything that a reference returns is the planted secret.
pub(super) const REFERENCE: Target = Target {
    name: "reference",
    about: "references in a setting",
    max_length: 4096,
    words: &[
        "${",
        "}",
        "$${",
        "${env:SECRET}",
        "${env:",
        "${file:secret}",
        "${file:",
        "vault:",
        "#",
        "${vault:secret/app#key}",
        "redis://",
        "postgres://",
        "amqp://",
        "u:",
        "@",
        "h:1/",
        "?",
        "/",
        "secret/app",
        "%",
    ],
    repair: None,
    start: start_reference,
};

/// Keys with values that a message may name: they are no secrets, and a reference names its source.
const PUBLIC: &[&str] = &["vault:", "${", "kind", "namespace", "name", "checks", "queues"];

fn start_file() -> Call {
    let mut files = Files::new();
    Box::new(move |input| {
        let text = String::from_utf8_lossy(input);
        let is_hidden = text.lines().filter(|line| line.contains(PLACEHOLDER)).all(is_value);
        files.read(&text.replace(PLACEHOLDER, SECRET), is_hidden)
    })
}

/// Whether the placeholder in this line is a part of a value that no message may quote.
fn is_value(line: &str) -> bool {
    line.split_once('=').is_some_and(|(key, value)| {
        !key.contains(PLACEHOLDER)
            && !key.contains(['[', '{', '"', '\''])
            && !value.contains('=')
            && !PUBLIC.iter().any(|public| line.contains(public))
    })
}

fn start_reference() -> Call {
    let mut files = Files::new();
    Box::new(move |input| {
        let value = String::from_utf8_lossy(input);
        let value = serde_json::Value::String(value.replace(['\0', '\u{7f}'], "")).to_string();
        // The value is an access token, two URLs, and a token of Vault.
        let text = format!(
            "namespace = \"fuzz\"\naccess_token = {value}\n[redis]\nurl = {value}\n[rabbit]\nurl = {value}\n[vault]\nurl = \"http://vault\"\ntoken = {value}\n"
        );
        files.read(&text, true)
    })
}

/// A folder with a file to refer to, and secrets that have been read from Vault.
struct Files {
    runtime: std::sync::Arc<tokio::runtime::Runtime>,
    folder: TempDir,
    vault: SecretCache,
}

impl Files {
    #[expect(clippy::expect_used, reason = "the fuzzer cannot run without it")]
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("secret"), SECRET).expect("a file");
        let secrets = BTreeMap::from([("key".to_owned(), Secret::new(SECRET))]);
        let vault = [("secret/app".to_owned(), Ok(secrets.into()))].into();
        Self { runtime: runtime(), folder, vault }
    }

    /// Reads a file, and returns its messages, or what is wrong with them.
    fn read(&mut self, text: &str, secret_is_hidden: bool) -> Result<String, String> {
        let _entered = self.runtime.enter();
        let env = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
        let shared = SharedResources::default();
        let context = LoadContext { env: &env, vault: &self.vault, shared: &shared };
        let file: &Path = &self.folder.path().join("fuzz.toml");
        let folder = self.folder.path().display().to_string();
        let (messages, details) = match Configuration::read(file, text, context) {
            Ok(configuration) => {
                let notes: Vec<_> = configuration.notes.iter().map(ToString::to_string).collect();
                (notes.join("\n"), format!("{configuration:?}"))
            }
            Err(error) => (error.to_string(), format!("{error:?}")),
        };
        let messages = messages.replace(&folder, "");
        if secret_is_hidden && leak([messages.as_str(), details.as_str()]).is_some() {
            return Err(format!("a message has the secret: {messages}"));
        }
        Ok(scrub(&messages))
    }
}
