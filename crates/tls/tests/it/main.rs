//! The settings as they are written, and real handshakes over a socket.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handshake;
mod reading;

use std::sync::Arc;

use probe::config::{Diagnostic, Node, Value};
use probe::{Check, Failure, Kind, Secret, Section, SharedResources, Steps};
use tls::Settings;

/// Reads settings from the keys and texts of a section `server`.
fn read(keys: &[(&str, &str)]) -> Result<Settings, Vec<Diagnostic>> {
    let entry = |(line, (key, text)): (usize, &(&str, &str))| {
        let node = Node { line: line + 1, value: Value::String((*text).to_owned()) };
        ((*key).to_owned(), node)
    };
    let entries = keys.iter().enumerate().map(entry).collect();
    let node = Node { line: 1, value: Value::Table(entries) };
    let shared = SharedResources::default();
    let _component = KIND.checks("server", &node, &shared)?;
    Ok(shared.get_or_insert(&place(), Settings::default).as_ref().clone())
}

/// A kind whose check does nothing but hold its settings where `read` finds them.
const KIND: Kind = Kind {
    name: "server",
    build: |section: &Section<'_>| {
        let mut fields = section.fields();
        let settings = Settings::read(&mut fields);
        let keep = |settings| section.shared().get_or_insert(&place(), || settings);
        fields.single(|| settings.map(keep).map(Holder))
    },
};

fn place() -> Secret {
    Secret::new("the settings that were read")
}

struct Holder(#[expect(dead_code, reason = "it keeps the settings alive")] Arc<Settings>);

impl Check for Holder {
    fn target(&self) -> &'static str {
        ""
    }

    async fn check(&self, _: &Steps) -> Result<(), Failure> {
        Ok(())
    }
}
