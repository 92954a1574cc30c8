//! TLS settings, TLS handshakes and TCP connections over real sockets.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connect;
mod expiry;
mod handshake;
mod settings;

use std::sync::Arc;

use net::TlsSettings;
use probe::config::{Diagnostic, Node, Value};
use probe::{Check, Failure, Kind, Secret, Section, SharedResources, Steps};

/// Reads settings from the keys and texts of a section `server`.
fn read(keys: &[(&str, &str)]) -> Result<TlsSettings, Vec<Diagnostic>> {
    let entry = |(line, (key, text)): (usize, &(&str, &str))| {
        let node = Node { line: line + 1, value: Value::String((*text).to_owned()) };
        ((*key).to_owned(), node)
    };
    let entries = keys.iter().enumerate().map(entry).collect();
    let node = Node { line: 1, value: Value::Table(entries) };
    let shared = SharedResources::default();
    let _component = KIND.checks("server", &node, &shared)?;
    Ok(shared.get_or_insert(&key(), TlsSettings::default).as_ref().clone())
}

/// A kind of check that only stores its settings in the shared resources, from which `read` gets them.
const KIND: Kind = Kind {
    name: "server",
    build: |section: &Section<'_>| {
        let mut fields = section.fields();
        let settings = TlsSettings::read(&mut fields);
        let share = |settings| section.shared().get_or_insert(&key(), || settings);
        fields.single(|| settings.map(share).map(SettingsCheck))
    },
};

/// The key of the settings in the shared resources.
fn key() -> Secret {
    Secret::new("settings")
}

struct SettingsCheck(#[expect(dead_code, reason = "it keeps the settings alive")] Arc<TlsSettings>);

impl Check for SettingsCheck {
    fn target(&self) -> &'static str {
        ""
    }

    async fn check(&self, _: &Steps) -> Result<(), Failure> {
        Ok(())
    }
}
