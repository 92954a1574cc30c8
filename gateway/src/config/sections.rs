//! The sections of a file: each becomes a component of the answer, after the gateway has taken what is its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use probe::config::{Diagnostic, Diagnostics, Fields, Node, Value};
use probe::{CheckName, Checks, DynCheck, GATEWAY_KEYS, SharedResources};
use sha2::{Digest as _, Sha256};

use crate::kinds::{self, KINDS};
use crate::runner::Limits;

/// The order of the answer; components of other names follow in the order of the file.
const ORDER: &[&str] = &[
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

/// A component of the answer and its checks.
#[derive(Clone)]
pub struct Component {
    /// Its name in the answer.
    pub name: String,
    /// Its checks.
    pub checks: Checks<ConfiguredCheck>,
    /// A digest of the section it was made from, values of references included.
    pub(crate) identity: [u8; 32],
}

/// A check and the limits that it runs within.
#[derive(Clone, Debug)]
pub struct ConfiguredCheck {
    /// The check.
    pub check: Arc<dyn DynCheck>,
    /// Its limits.
    pub limits: Limits,
}

impl Component {
    /// Whether `other` was made from the same section with the same values.
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.identity == other.identity
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Makes every section a component; what cannot be made is noted.
pub(super) fn components(
    sections: &[(String, Node)],
    defaults: Limits,
    shared: &SharedResources,
    diagnostics: &Diagnostics,
) -> Vec<Component> {
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    let mut components: Vec<_> = sections
        .iter()
        .filter_map(|(name, node)| component(name, node, defaults, shared, diagnostics))
        .collect();
    components.sort_by_key(|component| place(&component.name));
    components
}

/// Reads the limits that stand in a table; what is absent is as in `outer`.
fn limits(fields: &mut Fields<'_>, outer: Limits) -> Limits {
    let limits = Limits {
        timeout: fields.optional("timeout").unwrap_or(outer.timeout),
        max_age: fields.optional("max_age").unwrap_or(outer.max_age),
        overdue_wait: fields.optional("overdue_wait").unwrap_or(outer.overdue_wait),
    };
    expect_time(fields, limits);
    limits
}

/// Notes a timeout within which nothing can be asked.
pub(super) fn expect_time(fields: &mut Fields<'_>, limits: Limits) {
    if limits.timeout.is_zero() {
        fields.error("timeout", "expected a timeout of at least `1ms`");
    }
}

/// The defaults of a check that must not run often: only a `max_age` of its own is shorter.
fn paced(limits: Limits, check: &Arc<dyn DynCheck>) -> Limits {
    let max_age = check.min_interval().map_or(limits.max_age, |pace| pace.max(limits.max_age));
    Limits { max_age, ..limits }
}

fn component(
    name: &str,
    node: &Node,
    defaults: Limits,
    shared: &SharedResources,
    diagnostics: &Diagnostics,
) -> Option<Component> {
    let ours = node.entries().iter().filter(|(key, _)| GATEWAY_KEYS.contains(&key.as_str()));
    let ours = Node { line: node.line, value: Value::Table(ours.cloned().collect()) };
    let mut fields = Fields::new(name.to_owned(), &ours, diagnostics);
    let kind_name = fields.optional("kind").unwrap_or_else(|| name.to_owned());
    let limits = limits(&mut fields, defaults);
    let Some(kind) = kinds::find(&kind_name) else {
        let known: Vec<_> = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
        let known = known.join(", ");
        if fields.has("kind") {
            fields.error("kind", format!("no probe is called so, expected one of {known}"));
            return None;
        }
        let message = format!(
            "no probe is called `{name}`: name the section after one, or set `kind` to one of {known}"
        );
        diagnostics.push(Diagnostic { line: node.line, key: name.to_owned(), message });
        return None;
    };
    let checks = match kind.read(name, node, shared, diagnostics)? {
        Checks::Single(check) => {
            if fields.has("checks") {
                fields.error(
                    "checks",
                    "this component is a single check, its limits stand in the section itself",
                );
            }
            let limits = if fields.has("max_age") { limits } else { paced(limits, &check) };
            Checks::Single(ConfiguredCheck { check, limits })
        }
        Checks::Group(checks) => {
            note_unknown_checks(name, ours.get("checks"), &checks, diagnostics);
            let mut checks: Vec<_> = checks
                .into_iter()
                .map(|(name, check)| {
                    let limits = paced(limits, &check);
                    (name, ConfiguredCheck { check, limits })
                })
                .collect();
            fields.tables("checks", |name, table| {
                let mut nobodys = limits;
                let own = checks.iter_mut().find(|(known, _)| known.as_str() == name);
                let own = own.map_or(&mut nobodys, |(_, own)| &mut own.limits);
                *own = self::limits(table, *own);
            });
            Checks::Group(checks)
        }
    };
    let mut digest = Sha256::new();
    describe(node, &mut digest);
    describe_limits(defaults, &mut digest);
    Some(Component { name: name.to_owned(), checks, identity: digest.finalize().into() })
}

fn note_unknown_checks(
    name: &str,
    own: Option<&Node>,
    checks: &[(CheckName, Arc<dyn DynCheck>)],
    diagnostics: &Diagnostics,
) {
    for (key, node) in own.map(Node::entries).unwrap_or_default() {
        if checks.iter().any(|(known, _)| known.as_str() == key) {
            continue;
        }
        let known: Vec<_> =
            checks.iter().map(|(known, _)| format!("`{}`", known.as_str())).collect();
        let message = format!("no check is called `{key}`, expected one of {}", known.join(", "));
        let key = format!("{name}.checks");
        diagnostics.push(Diagnostic { line: node.line, key, message });
    }
}

/// Feeds everything that distinguishes one section from another to `digest`: no two differ only in what is left out.
fn describe(node: &Node, digest: &mut Sha256) {
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
        Value::Other(kind) => piece(b'o', kind.as_bytes()),
        Value::Array(items) => {
            piece(b'a', &items.len().to_le_bytes());
            for item in items {
                describe(item, digest);
            }
        }
        Value::Table(entries) => {
            piece(b't', &entries.len().to_le_bytes());
            for (key, entry) in entries {
                digest.update(key.len().to_le_bytes());
                digest.update(key.as_bytes());
                describe(entry, digest);
            }
        }
    }
}

fn describe_limits(limits: Limits, digest: &mut Sha256) {
    let Limits { timeout, max_age, overdue_wait } = limits;
    for limit in [timeout, max_age, overdue_wait] {
        digest.update(Duration::as_nanos(&limit).to_le_bytes());
    }
}
