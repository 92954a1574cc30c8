//! Tests `docs/compatibility.md`: tries each entry, and compares its parameters with the code.

use std::collections::BTreeSet;
use std::path::Path;

use gateway::config::{Configuration, LoadContext, SecretCache};
use probe::SharedResources;
use probe::config::{ParameterRules, Treatment};

use super::page::{Page, in_code};

/// The headings of the clients with parameters that are listed in the code.
const RULES: [(&str, &ParameterRules); 2] =
    [("postgresql", probe_postgres::PARAMETERS), ("redis", redis_client::PARAMETERS)];

/// The effect of an entry in a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    Honoured,
    Ignored,
    Refused,
}

use Effect::{Honoured, Ignored, Refused};

/// A piece of code in the first column of a table.
struct Entry {
    /// The anchor of the heading.
    client: String,
    /// The code above the table.
    label: String,
    written: String,
    documented: Effect,
}

fn entries() -> Vec<Entry> {
    let page = Page::read("docs/compatibility.md");
    let mut entries = Vec::new();
    for table in page.tables(&["written", "here", "meaning"]) {
        for cells in &table.rows {
            let effect = match cells[1].as_str() {
                "honoured" => Honoured,
                "ignored" => Ignored,
                "refused" => Refused,
                other => panic!("docs/compatibility.md: `{other}`"),
            };
            entries.extend(in_code(&cells[0]).map(|written| Entry {
                client: table.anchor.clone(),
                label: table.label.clone().expect("code above the table"),
                written: written.to_owned(),
                documented: effect,
            }));
        }
    }
    assert!(entries.len() > 300, "docs/compatibility.md has {} entries", entries.len());
    entries
}

impl Entry {
    /// A file with the entry.
    fn file(&self) -> String {
        let written = &self.written;
        let url = if self.label == "url" { written.clone() } else { self.label.clone() + written };
        let section = match (self.client.as_str(), self.label.as_str()) {
            ("postgresql", _) => format!("[postgres]\nurl = '{url}'\n"),
            ("redis", _) => format!("[redis]\nurl = '{url}'\n"),
            ("rabbitmq", _) => format!("[rabbit]\nurl = '{url}'\n"),
            ("celery", _) => format!("[celery]\nbroker = 'redis://cache'\n{written}\n"),
            ("aws", "s3.files.bucket") => format!(
                "[s3.files]\nbucket = '{written}'\nregion = 'eu-central-1'\naccess = ['write']\n"
            ),
            ("aws", _) => format!(
                "[s3.files]\nbucket = 'app-files'\nregion = 'auto'\naccess = ['write']\n{written}\n"
            ),
            ("http", "history.api.url") => format!("[history.api]\nurl = '{written}'\n"),
            ("http", "websocket.url") => format!("[websocket]\nurl = '{written}'\n"),
            ("http", "vault.url") => {
                format!("[vault]\nurl = '{written}'\ntoken = 'longer-token'\n")
            }
            ("http", "vault") => format!(
                "[vault]\nurl = 'https://vault'\nlogin = 'kubernetes'\nrole = 'longer-role'\n{written}\n"
            ),
            ("http", "history.clickhouse.url") => {
                format!("[history.clickhouse]\nurl = '{written}'\ntable = 'events'\n")
            }
            ("http", "rabbit.management") => {
                format!(
                    "[rabbit]\nurl = 'amqp://rabbit'\nqueues = ['a']\nmanagement = '{written}'\n"
                )
            }
            other => panic!("docs/compatibility.md: no file for {other:?}"),
        };
        format!("namespace = 'app'\naccess_token = '0123456789abcdef'\n{section}")
    }

    /// The effect and the messages that `check-config` reports.
    fn effect(&self) -> (Effect, String) {
        let (vault, shared) = (SecretCache::new(), SharedResources::default());
        let context = LoadContext { env: &|_: &str| None, vault: &vault, shared: &shared };
        match Configuration::read(Path::new("app.toml"), &self.file(), context) {
            Err(error) => (Refused, error.to_string()),
            Ok(configuration) => {
                let notes: Vec<_> = configuration.notes.iter().map(ToString::to_string).collect();
                let effect = if notes.is_empty() { Honoured } else { Ignored };
                (effect, notes.join("\n"))
            }
        }
    }

    /// The names of the parameters, if the entry consists of parameters.
    fn parameters(&self) -> impl Iterator<Item = &str> {
        let written = Some(self.written.as_str()).filter(|_| self.label.ends_with('?'));
        let parameters = written.into_iter().flat_map(|written| written.split('&'));
        parameters.filter_map(|parameter| parameter.split_once('=')).map(|(name, _)| name)
    }
}

/// The possible effects of a parameter, depending on its value.
fn possible(treatment: &Treatment) -> &'static [Effect] {
    match treatment {
        Treatment::Honoured => &[Honoured],
        Treatment::Ignored => &[Ignored],
        Treatment::IgnoredIf(_) => &[Ignored, Refused],
        Treatment::Refused(_) => &[Refused],
    }
}

#[test]
fn each_entry_is_honoured_ignored_or_refused_as_documented() {
    let mut mismatches = Vec::new();
    for entry in entries() {
        let (effect, message) = entry.effect();
        let Entry { client, written, .. } = &entry;
        if effect != entry.documented {
            mismatches.push(format!("{client}: `{written}` is {effect:?}: {message}"));
        } else if effect == Ignored {
            let named = entry.parameters().all(|name| message.contains(&format!("`{name}`")));
            assert!(named, "{client}: `{written}`: {message}");
        }
        assert!(!message.contains("hunter2"), "{client}: `{written}`: {message}");
    }
    assert!(mismatches.is_empty(), "docs/compatibility.md:\n{}", mismatches.join("\n"));
}

#[test]
fn each_parameter_of_the_code_is_documented_and_each_documented_one_is_known() {
    let entries = entries();
    let mut mismatches = Vec::new();
    for (client, rules) in RULES {
        let own = || entries.iter().filter(|entry| entry.client == client);
        let documented: BTreeSet<_> = own()
            .flat_map(|entry| entry.parameters().map(|name| (name, entry.documented)))
            .collect();
        let expected: BTreeSet<_> = rules
            .iter()
            .flat_map(|(name, treatment)| possible(treatment).iter().map(|effect| (*name, *effect)))
            .collect();
        for (name, effect) in expected.difference(&documented) {
            mismatches.push(format!("{client}: `{name}` may be {effect:?}, and is not documented"));
        }
        // A wrong value of any parameter is refused.
        let unexpected = documented.difference(&expected).filter(|(_, effect)| *effect != Refused);
        for (name, effect) in unexpected {
            mismatches.push(format!("{client}: `{name}` is documented as {effect:?}"));
        }
    }
    assert!(mismatches.is_empty(), "docs/compatibility.md:\n{}", mismatches.join("\n"));
}
