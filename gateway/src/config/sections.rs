//! Turns each section of a file into a component of the report.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use probe::config::{Diagnostic, Diagnostics, Fields, Node, Value};
use probe::{CheckName, Checks, DynCheck, GATEWAY_KEYS, SharedResources};
use sha2::{Digest as _, Sha256};

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

/// The limits of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckLimits {
    /// How long a run may take.
    pub timeout: Duration,
    /// How old a result may be to be served again.
    pub max_age: Duration,
    /// How long a caller waits for a check after its last run timed out.
    pub overdue_wait: Duration,
}

/// A component of the report and its checks.
#[derive(Clone)]
pub struct Component {
    /// Its name in the report.
    pub name: String,
    /// Its checks.
    pub checks: Checks<ConfiguredCheck>,
    /// A digest of its section and its default limits, values of references included.
    pub(crate) identity: [u8; 32],
}

/// A check and its limits.
#[derive(Clone, Debug)]
pub struct ConfiguredCheck {
    /// The check.
    pub check: Arc<dyn DynCheck>,
    /// Its limits.
    pub limits: CheckLimits,
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

/// Makes a component of every section. Errors are added to `diagnostics`.
pub(super) fn components(
    sections: &[(String, Node)],
    defaults: CheckLimits,
    shared: &SharedResources,
    diagnostics: &Diagnostics,
) -> Vec<Component> {
    let position = |name: &str| {
        REPORT_ORDER.iter().position(|known| *known == name).unwrap_or(REPORT_ORDER.len())
    };
    let mut components: Vec<_> = sections
        .iter()
        .filter_map(|(name, node)| component(name, node, defaults, shared, diagnostics))
        .collect();
    components.sort_by_key(|component| position(&component.name));
    components
}

/// Reads the limits in a table. Absent ones are inherited from `outer`.
fn limits(fields: &mut Fields<'_>, outer: CheckLimits) -> CheckLimits {
    let limits = CheckLimits {
        timeout: fields.optional("timeout").unwrap_or(outer.timeout),
        max_age: fields.optional("max_age").unwrap_or(outer.max_age),
        overdue_wait: fields.optional("overdue_wait").unwrap_or(outer.overdue_wait),
    };
    reject_zero_timeout(fields, limits);
    limits
}

/// Adds a diagnostic if the timeout is zero, because no check can succeed within it.
pub(super) fn reject_zero_timeout(fields: &mut Fields<'_>, limits: CheckLimits) {
    if limits.timeout.is_zero() {
        fields.error("timeout", "expected a timeout of at least `1ms`");
    }
}

/// Raises `max_age` to the minimum interval of the check. Only a `max_age` in the check's own table can be shorter.
fn with_min_interval(limits: CheckLimits, check: &Arc<dyn DynCheck>) -> CheckLimits {
    let max_age = check.min_interval().map_or(limits.max_age, |min| min.max(limits.max_age));
    CheckLimits { max_age, ..limits }
}

fn component(
    name: &str,
    node: &Node,
    defaults: CheckLimits,
    shared: &SharedResources,
    diagnostics: &Diagnostics,
) -> Option<Component> {
    let own_keys = node.entries().iter().filter(|(key, _)| GATEWAY_KEYS.contains(&key.as_str()));
    let own = Node { line: node.line, value: Value::Table(own_keys.cloned().collect()) };
    let mut fields = Fields::new(name.to_owned(), &own, diagnostics);
    let kind_name = fields.optional("kind").unwrap_or_else(|| name.to_owned());
    let limits = limits(&mut fields, defaults);
    let Some(kind) = kinds::find(&kind_name) else {
        let known: Vec<_> = KINDS.iter().map(|kind| format!("`{}`", kind.name)).collect();
        let known = known.join(", ");
        if fields.has("kind") {
            fields.error("kind", format!("no probe has this name, expected one of {known}"));
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
                    "this component is a single check, so its limits are set in the section itself",
                );
            }
            let limits =
                if fields.has("max_age") { limits } else { with_min_interval(limits, &check) };
            Checks::Single(ConfiguredCheck { check, limits })
        }
        Checks::Group(checks) => {
            report_unknown_checks(name, own.get("checks"), &checks, diagnostics);
            let mut checks: Vec<_> = checks
                .into_iter()
                .map(|(name, check)| {
                    let limits = with_min_interval(limits, &check);
                    (name, ConfiguredCheck { check, limits })
                })
                .collect();
            let mut limits_by_name: HashMap<_, _> =
                checks.iter_mut().map(|(name, check)| (name.as_str(), &mut check.limits)).collect();
            fields.tables("checks", |name, table| {
                // The table of an unknown check is read as well, so that its keys are checked.
                let mut unused = limits;
                let limits =
                    limits_by_name.get_mut(name).map_or(&mut unused, |limits| &mut **limits);
                *limits = self::limits(table, *limits);
            });
            Checks::Group(checks)
        }
    };
    let mut digest = Sha256::new();
    digest_node(node, &mut digest);
    digest_limits(defaults, &mut digest);
    Some(Component { name: name.to_owned(), checks, identity: digest.finalize().into() })
}

fn report_unknown_checks(
    name: &str,
    tables: Option<&Node>,
    checks: &[(CheckName, Arc<dyn DynCheck>)],
    diagnostics: &Diagnostics,
) {
    let names: HashSet<_> = checks.iter().map(|(name, _)| name.as_str()).collect();
    let listed = checks.iter().take(MAX_LISTED).map(|(name, _)| format!("`{}`", name.as_str()));
    let others = checks.len().saturating_sub(MAX_LISTED);
    let others = (others > 0).then(|| format!("or {others} others"));
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

/// Adds everything that distinguishes one section from another to `digest`.
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
                digest.update(key.len().to_le_bytes());
                digest.update(key.as_bytes());
                digest_node(entry, digest);
            }
        }
    }
}

fn digest_limits(limits: CheckLimits, digest: &mut Sha256) {
    let CheckLimits { timeout, max_age, overdue_wait } = limits;
    for limit in [timeout, max_age, overdue_wait] {
        digest.update(Duration::as_nanos(&limit).to_le_bytes());
    }
}
