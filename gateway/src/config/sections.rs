//! The sections of a file: each becomes a component of the answer, after the gateway has taken what is its own.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use probe::config::{Fields, Mistake, Node, Value};
use probe::{DynCheck, GATEWAY_KEYS, Shared};
use sha2::{Digest as _, Sha256};

use crate::board::Limits;
use crate::kinds::{self, KINDS};

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
    pub checks: Checks,
    /// A digest of the section it was made from, values of references included.
    pub(crate) identity: [u8; 32],
}

/// The checks of a component, each with the limits that it runs within.
#[derive(Clone)]
pub enum Checks {
    /// It is one check.
    Single(Arc<dyn DynCheck>, Limits),
    /// It is a group of named checks.
    Group(Vec<(String, Arc<dyn DynCheck>, Limits)>),
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
    shared: &Shared,
    mistakes: &RefCell<Vec<Mistake>>,
) -> Vec<Component> {
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    let mut components: Vec<_> = sections
        .iter()
        .filter_map(|(name, node)| component(name, node, defaults, shared, mistakes))
        .collect();
    components.sort_by_key(|component| place(&component.name));
    components
}

/// Reads the limits that stand in a table; what is absent is as in `defaults`.
pub(super) fn limits(fields: &mut Fields<'_>, defaults: Limits) -> Limits {
    let timeout = fields.or("timeout", defaults.timeout);
    if timeout.is_zero() {
        fields.wrong("timeout", "expected a timeout of at least `1ms`");
    }
    Limits {
        timeout,
        max_age: fields.or("max_age", defaults.max_age),
        overdue_wait: fields.or("overdue_wait", defaults.overdue_wait),
    }
}

/// The defaults of a check that must not run often: only a `max_age` of its own is shorter.
fn paced(limits: Limits, check: &Arc<dyn DynCheck>) -> Limits {
    let max_age = check.at_most_every().map_or(limits.max_age, |pace| pace.max(limits.max_age));
    Limits { max_age, ..limits }
}

fn component(
    name: &str,
    node: &Node,
    defaults: Limits,
    shared: &Shared,
    mistakes: &RefCell<Vec<Mistake>>,
) -> Option<Component> {
    let ours = node.entries().iter().filter(|(key, _)| GATEWAY_KEYS.contains(&key.as_str()));
    let ours = Node { line: node.line, value: Value::Table(ours.cloned().collect()) };
    let mut fields = Fields::new(name.to_owned(), &ours, mistakes);
    let kind_name = fields.or("kind", name.to_owned());
    let limits = limits(&mut fields, defaults);
    let Some(kind) = kinds::find(&kind_name) else {
        let known: Vec<_> = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
        let known = known.join(", ");
        if fields.has("kind") {
            fields.wrong("kind", format!("no probe is called so, expected one of {known}"));
            return None;
        }
        let message = format!(
            "no probe is called `{name}`: name the section after one, or set `kind` to one of {known}"
        );
        mistakes.borrow_mut().push(Mistake { line: node.line, key: name.to_owned(), message });
        return None;
    };
    let built = kind.component(name, node, shared).map_err(|found| {
        mistakes.borrow_mut().extend(found);
    });
    let checks = match built.ok()? {
        probe::Component::Single(check) => {
            if fields.has("checks") {
                fields.wrong(
                    "checks",
                    "this component is a single check, its limits stand in the section itself",
                );
            }
            let default = if fields.has("max_age") { limits } else { paced(limits, &check) };
            Checks::Single(check, default)
        }
        probe::Component::Group(checks) => {
            let own = ours.get("checks");
            note_unknown_checks(name, own, &checks, mistakes);
            let with_limits = |(check_name, check): (probe::CheckName, _)| {
                let check_name = check_name.as_str().to_owned();
                let limits = paced(limits, &check);
                let limits = own.and_then(|own| own.get(&check_name)).map_or(limits, |own| {
                    let path = format!("{name}.checks.{check_name}");
                    let mut fields = Fields::new(path, own, mistakes);
                    let limits = self::limits(&mut fields, limits);
                    fields.finish();
                    limits
                });
                (check_name, check, limits)
            };
            Checks::Group(checks.into_iter().map(with_limits).collect())
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
    checks: &[(probe::CheckName, Arc<dyn DynCheck>)],
    mistakes: &RefCell<Vec<Mistake>>,
) {
    for (key, node) in own.map(Node::entries).unwrap_or_default() {
        if checks.iter().any(|(known, _)| known.as_str() == key) {
            continue;
        }
        let known: Vec<_> =
            checks.iter().map(|(known, _)| format!("`{}`", known.as_str())).collect();
        let message = format!("no check is called `{key}`, expected one of {}", known.join(", "));
        let key = format!("{name}.checks");
        mistakes.borrow_mut().push(Mistake { line: node.line, key, message });
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
        Value::Unknown(failure) => piece(b'u', failure.line("").as_bytes()),
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
