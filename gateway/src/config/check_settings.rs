//! The settings of a check that the gateway itself applies, inherited from table to table.

use std::time::{Duration, SystemTime};

use probe::config::{Fields, FromNode, Node, Value, ValueError};

/// The shortest interval, so that a mistake does not run a check continuously.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// How far ahead the end of maintenance may be, so that a forgotten setting does not hide failures for long.
const MAX_MAINTENANCE: Duration = Duration::from_hours(7 * 24);

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

/// The settings of a check that do not depend on its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckSettings {
    /// Its limits.
    pub limits: CheckLimits,
    /// How often the gateway runs it without a caller; zero if it does not.
    pub interval: Duration,
    /// What its failure means.
    pub severity: Severity,
    /// The end of its maintenance, which may be in the past.
    pub maintenance_until: Option<SystemTime>,
    /// Whether replicas share its results.
    pub share: ShareSetting,
}

/// Whether replicas share the results of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareSetting {
    /// Whether the namespace has a store for shared results.
    pub has_store: bool,
    /// What the configuration says, or `None` for the default of the check.
    pub chosen: Option<bool>,
}

impl ShareSetting {
    /// Whether the results of a check are shared. By default, those of a check that `leaves_traces` are.
    pub(crate) fn applies(self, leaves_traces: bool) -> bool {
        self.has_store && self.chosen.unwrap_or(leaves_traces)
    }

    fn inherit(self, fields: &mut Fields<'_>) -> Self {
        let chosen = fields.optional("share");
        if chosen == Some(true) && !self.has_store {
            fields
                .error("share", "expected a section `[share]` with the `store` of shared results");
        }
        Self { chosen: chosen.or(self.chosen), ..self }
    }
}

/// What the failure of a check means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The application does not work.
    Critical,
    /// The application works without the backend.
    Warning,
}

impl Severity {
    const WORDS: [Self; 2] = [Self::Critical, Self::Warning];

    /// The word in the configuration and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

impl FromNode for Severity {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        const EXPECTED: &str = "`critical` or `warning`";
        match &node.value {
            Value::String(word) => Self::WORDS
                .into_iter()
                .find(|severity| severity.as_str() == word)
                .ok_or_else(|| format!("expected {EXPECTED}").into()),
            Value::Unknown(failure) => Err(ValueError::Unknown(failure.clone())),
            other => Err(ValueError::expected(EXPECTED, other)),
        }
    }
}

/// Which values a table sets itself. A malformed one has been reported, and counts as inherited.
#[derive(Clone, Copy)]
struct OwnValues {
    timeout: bool,
    max_age: bool,
    interval: bool,
}

impl OwnValues {
    fn of(fields: &Fields<'_>) -> Self {
        let [timeout, max_age, interval] =
            ["timeout", "max_age", "interval"].map(|key| fields.has(key));
        Self { timeout, max_age, interval }
    }
}

impl CheckSettings {
    /// Reads the settings of a namespace, which its checks inherit.
    pub(super) fn of_namespace(fields: &mut Fields<'_>, has_store: bool) -> Self {
        let settings = Self {
            limits: CheckLimits {
                timeout: fields.with_default("timeout", Duration::from_secs(5)),
                max_age: fields.with_default("max_age", Duration::from_secs(1)),
                overdue_wait: fields.with_default("overdue_wait", Duration::from_millis(100)),
            },
            interval: fields.with_default("interval", Duration::ZERO),
            severity: Severity::Critical,
            maintenance_until: maintenance_until(fields),
            share: ShareSetting { has_store, chosen: None },
        };
        settings.verify(OwnValues::of(fields), fields);
        settings
    }

    /// Reads the settings in the table of a section or a check. Those that are absent are inherited.
    ///
    /// The latest `maintenance_until` that applies counts, so that a past one hides no other.
    pub(super) fn inherit(self, fields: &mut Fields<'_>) -> Self {
        let (timeout, max_age) = (fields.optional("timeout"), fields.optional("max_age"));
        let overdue_wait = fields.optional("overdue_wait");
        let interval = fields.optional("interval");
        let own = OwnValues {
            timeout: timeout.is_some(),
            max_age: max_age.is_some(),
            interval: interval.is_some(),
        };
        let settings = Self {
            limits: CheckLimits {
                timeout: timeout.unwrap_or(self.limits.timeout),
                max_age: max_age.unwrap_or(self.limits.max_age),
                overdue_wait: overdue_wait.unwrap_or(self.limits.overdue_wait),
            },
            interval: interval.unwrap_or(self.interval),
            severity: fields.optional("severity").unwrap_or(self.severity),
            maintenance_until: maintenance_until(fields).max(self.maintenance_until),
            share: self.share.inherit(fields),
        };
        settings.verify(own, fields);
        settings
    }

    /// Reports values that contradict each other or make no sense, each in the table that sets it.
    fn verify(&self, own: OwnValues, fields: &mut Fields<'_>) {
        if self.limits.timeout.is_zero() && own.timeout {
            fields.error("timeout", "expected a timeout of at least `1ms`");
        }
        if self.interval.is_zero() {
            return;
        }
        if self.interval < MIN_INTERVAL && own.interval {
            fields.error("interval", "expected an interval of at least `1s`, or `0s` for none");
        } else if self.interval < self.limits.max_age {
            let (interval, max_age) = (in_file(self.interval), in_file(self.limits.max_age));
            if own.interval {
                let message =
                    format!("expected at least `{max_age}`, the `max_age` that applies here");
                fields.error("interval", message);
            } else if own.max_age {
                let message = format!(
                    "expected at most `{interval}`, the `interval` that applies here, or a longer `interval` beside it"
                );
                fields.error("max_age", message);
            }
        }
    }
}

/// A duration as it is written in a file.
fn in_file(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

fn maintenance_until(fields: &mut Fields<'_>) -> Option<SystemTime> {
    let until = fields.optional("maintenance_until")?;
    if SystemTime::now().checked_add(MAX_MAINTENANCE).is_some_and(|latest| until > latest) {
        fields.error("maintenance_until", "expected a time that is at most 7 days ahead");
    }
    Some(until)
}
