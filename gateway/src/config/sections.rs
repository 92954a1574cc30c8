//! Turns each section of a file into a component of the report.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use probe::config::{Diagnostic, Diagnostics, Fields, Node, Value};
use probe::{CheckName, Checks, DynCheck, GATEWAY_KEYS, SharedResources};
use sha2::{Digest as _, Sha256};

use super::{CheckLimits, CheckSettings, VAULT};
use crate::kinds::{self, KINDS};

/// The order of the components in a report. Components of other names follow in the order of the file.
pub const REPORT_ORDER: &[&str] = &[
    "cache",
    "celery",
    "cloud_front",
    "history",
    "s3",
    "postgres",
    "rabbit",
    "redis2",
    "redis",
    "vault",
    "websocket",
];

/// How many expected names a message lists. With all of them, the errors of one file could exhaust the memory.
const MAX_LISTED: usize = 30;

/// A component of the report and its checks.
#[derive(Clone)]
pub struct Component {
    /// Its name in the report.
    pub name: String,
    /// The name of its probe.
    pub kind: &'static str,
    /// Its checks.
    pub checks: Checks<ConfiguredCheck>,
    /// A digest of what its probe reads, values of references included, and of the limits of its checks.
    pub(crate) identity: [u8; 32],
}

/// A check and its settings.
#[derive(Clone, Debug)]
pub struct ConfiguredCheck {
    /// The check.
    pub check: Arc<dyn DynCheck>,
    /// Its settings.
    pub settings: CheckSettings,
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Makes a component of every section. Errors are added to `diagnostics`.
pub(super) fn components(
    sections: &[(String, Node)],
    defaults: CheckSettings,
    shared: &SharedResources,
    secret_paths: &BTreeSet<String>,
    diagnostics: &Diagnostics,
) -> Vec<Component> {
    let position = |name: &str| {
        REPORT_ORDER.iter().position(|known| *known == name).unwrap_or(REPORT_ORDER.len())
    };
    let mut components: Vec<_> = sections
        .iter()
        .filter_map(|(name, node)| {
            component(name, node, defaults, shared, secret_paths, diagnostics)
        })
        .collect();
    components.sort_by_key(|component| position(&component.name));
    components
}

/// Raises `max_age` to the minimum interval of the check. Only a `max_age` in the check's own table can be shorter.
fn with_min_interval(mut settings: CheckSettings, check: &Arc<dyn DynCheck>) -> CheckSettings {
    let max_age = &mut settings.limits.max_age;
    *max_age = check.min_interval().map_or(*max_age, |min| min.max(*max_age));
    settings
}

fn component(
    name: &str,
    node: &Node,
    defaults: CheckSettings,
    shared: &SharedResources,
    secret_paths: &BTreeSet<String>,
    diagnostics: &Diagnostics,
) -> Option<Component> {
    let is_own = |(key, _): &&(String, Node)| GATEWAY_KEYS.contains(&key.as_str());
    let own_keys = node.entries().iter().filter(is_own);
    let own = Node { line: node.line, value: Value::Table(own_keys.cloned().collect()) };
    let mut fields = Fields::new(name.to_owned(), &own, diagnostics);
    let kind_name = fields.optional("kind").unwrap_or_else(|| name.to_owned());
    let settings = defaults.inherit(&mut fields);
    let Some(kind) = kinds::find(&kind_name) else {
        let known: Vec<_> = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
        let known = known.join(", ");
        if fields.has("kind") {
            fields.error("kind", format!("no probe has this name, expected one of {known}"));
            return None;
        }
        let message = match KINDS.iter().find(|kind| name.starts_with(kind.name)) {
            Some(kind) => {
                format!(
                    "no probe is called `{name}`: set `kind = \"{}\"` in this section",
                    kind.name
                )
            }
            None => format!(
                "no probe is called `{name}`: name the section after one, or set `kind` to one of {known}"
            ),
        };
        diagnostics.push(Diagnostic { line: node.line, key: name.to_owned(), message });
        return None;
    };
    let checks = match kind.read(name, node, shared, secret_paths, diagnostics)? {
        Checks::Single(check) => {
            if fields.has("checks") {
                fields.error(
                    "checks",
                    "this component is a single check, so its settings are in the section itself",
                );
            }
            let has_max_age = fields.has("max_age");
            let settings = if has_max_age { settings } else { with_min_interval(settings, &check) };
            Checks::Single(ConfiguredCheck { check, settings })
        }
        Checks::Group(checks) => {
            report_unknown_checks(name, own.get("checks"), &checks, diagnostics);
            let mut checks: Vec<_> = checks
                .into_iter()
                .map(|(name, check)| {
                    let settings = with_min_interval(settings, &check);
                    (name, ConfiguredCheck { check, settings })
                })
                .collect();
            let mut by_name: HashMap<_, _> = checks
                .iter_mut()
                .map(|(name, check)| (name.as_str(), &mut check.settings))
                .collect();
            fields.tables("checks", |name, table| {
                // The table of an unknown check is read as well, so that its keys are checked.
                let mut unused = settings;
                let settings = by_name.get_mut(name).map_or(&mut unused, |settings| settings);
                *settings = settings.inherit(table);
            });
            Checks::Group(checks)
        }
    };
    let mut digest = Sha256::new();
    digest_key(&kind_name, &mut digest);
    for (key, value) in node.entries().iter().filter(|entry| !is_own(entry)) {
        digest_key(key, &mut digest);
        digest_node(value, &mut digest);
    }
    // The check of Vault reports these secrets.
    for path in secret_paths.iter().filter(|_| kind.name == VAULT) {
        digest_key(path, &mut digest);
    }
    for ConfiguredCheck { settings, .. } in checks.iter() {
        digest_limits(settings.limits, &mut digest);
    }
    let identity = digest.finalize().into();
    Some(Component { name: name.to_owned(), kind: kind.name, checks, identity })
}

fn report_unknown_checks(
    name: &str,
    tables: Option<&Node>,
    checks: &[(CheckName, Arc<dyn DynCheck>)],
    diagnostics: &Diagnostics,
) {
    let names: HashSet<_> = checks.iter().map(|(name, _)| name.as_str()).collect();
    let listed = checks.iter().take(MAX_LISTED).map(|(name, _)| format!("`{}`", name.as_str()));
    let others = checks.len().saturating_sub(MAX_LISTED) as u64;
    let others = (others > 0).then(|| format!("or {}", probe::count(others, "other", "others")));
    let expected = listed.chain(others).collect::<Vec<_>>().join(", ");
    for (key, node) in tables.map(Node::entries).unwrap_or_default() {
        if names.contains(key.as_str()) {
            continue;
        }
        let message = format!("no check is called `{key}`, expected one of {expected}");
        let key = format!("{name}.checks");
        diagnostics.push(Diagnostic { line: node.line, key, message });
    }
}

/// Adds everything that distinguishes one value from another to `digest`.
fn digest_node(node: &Node, digest: &mut Sha256) {
    let mut piece = |kind: u8, bytes: &[u8]| {
        digest.update([kind]);
        digest.update(bytes.len().to_le_bytes());
        digest.update(bytes);
    };
    match &node.value {
        Value::String(text) => piece(b's', text.as_bytes()),
        Value::Unknown(failure) => piece(b'u', failure.render("").as_bytes()),
        Value::Integer(number) => piece(b'i', &number.to_le_bytes()),
        Value::Boolean(flag) => piece(b'b', &[u8::from(*flag)]),
        Value::DateTime(at) => piece(b'd', format!("{at:?}").as_bytes()),
        Value::Other(kind) => piece(b'o', kind.as_bytes()),
        Value::Array(items) => {
            piece(b'a', &items.len().to_le_bytes());
            for item in items {
                digest_node(item, digest);
            }
        }
        Value::Table(entries) => {
            piece(b't', &entries.len().to_le_bytes());
            for (key, entry) in entries {
                digest_key(key, digest);
                digest_node(entry, digest);
            }
        }
    }
}

fn digest_key(key: &str, digest: &mut Sha256) {
    digest.update(key.len().to_le_bytes());
    digest.update(key.as_bytes());
}

fn digest_limits(limits: CheckLimits, digest: &mut Sha256) {
    let CheckLimits { timeout, max_age, overdue_wait } = limits;
    for limit in [timeout, max_age, overdue_wait] {
        digest.update(Duration::as_nanos(&limit).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use probe::SharedResources;

    use crate::config::{Configuration, LoadContext, SecretCache};

    /// The identities of the components of a file with these settings.
    fn identities(settings: &str) -> Vec<[u8; 32]> {
        let (vault, shared) = (SecretCache::new(), SharedResources::default());
        let context = LoadContext { env: &|_: &str| None, vault: &vault, shared: &shared };
        let sections = "[vault]\nurl = 'http://vault'\ntoken = 'longer-token'\n[websocket]\nurl = 'ws://app'\n";
        let text = format!("namespace = 'app'\n{settings}\n{sections}");
        let read = Configuration::read(Path::new("app.toml"), &text, context);
        let components = read.expect("a configuration").components;
        components.iter().map(|component| component.identity).collect()
    }

    #[test]
    fn another_reference_replaces_the_check_of_vault_alone() {
        let before = identities("access_token = '${vault:secret/one#token}'");
        let after = identities("access_token = '${vault:secret/two#token}'");
        assert_ne!(before[0], after[0], "vault");
        assert_eq!(before[1], after[1], "websocket");
    }
}
