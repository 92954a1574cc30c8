//! What the page shows: the checks with their results, in the order of their importance.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use crate::config::Severity;
use crate::overview::{CheckOverview, Overview};
use crate::report::{CheckResult, Report};
use crate::runner::{History, Moment, PastResult};

/// A report with what is known beside it.
pub(super) struct View<'a> {
    pub(super) overview: &'a Overview,
    /// The checks: those that fail first, and among these the critical ones.
    pub(super) rows: Vec<Row<'a>>,
    pub(super) now: Moment,
}

/// A check of the report.
pub(super) struct Row<'a> {
    /// Its full name, such as `cache.data`.
    pub(super) name: String,
    pub(super) result: &'a CheckResult,
    pub(super) rank: Rank,
    /// Absent for a check that a new configuration no longer has.
    pub(super) check: Option<&'a CheckOverview>,
}

/// How important the state of a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Critical,
    Warning,
    Maintenance,
    Working,
}

/// The most important facts, for the top of the page, the title of its tab and its icon.
pub(super) struct Headline {
    pub(super) text: String,
    pub(super) title: String,
    pub(super) icon: &'static str,
    pub(super) note: Option<&'static str>,
}

/// The icons differ in their shapes, not only in their colours.
const CHECK_MARK: &str = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='8' fill='green'/><path d='M4 8l3 3 5-6' fill='none' stroke='white' stroke-width='2'/></svg>";
const TRIANGLE: &str = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path d='M8 0l8 16H0z' fill='orange'/><path d='M8 6v5M8 12v2' stroke='black' stroke-width='2'/></svg>";
const CROSS: &str = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path d='M0 0h16v16H0z' fill='firebrick'/><path d='M4 4l8 8M12 4l-8 8' stroke='white' stroke-width='2'/></svg>";

impl<'a> View<'a> {
    pub(super) fn new(report: &'a Report, overview: &'a Overview, now: Moment) -> Self {
        let by_name: HashMap<_, _> =
            overview.checks.iter().map(|check| (&*check.name, check)).collect();
        let mut rows: Vec<_> = report
            .checks()
            .map(|(name, result)| {
                let check = by_name.get(&*name).copied();
                Row { rank: Rank::of(result, check), name, result, check }
            })
            .collect();
        // Stable, so that checks of one rank stay in the order of the report.
        rows.sort_by_key(|row| row.rank);
        Self { overview, rows, now }
    }

    /// How many checks fail.
    pub(super) fn failing(&self) -> usize {
        self.rows.iter().filter(|row| row.is_failing()).count()
    }

    pub(super) fn headline(&self) -> Headline {
        let (failing, all) = (self.failing(), self.rows.len());
        let namespace = &self.overview.namespace;
        let (of, dot) = if namespace.is_empty() {
            (String::new(), String::new())
        } else {
            (format!(" of {namespace}"), format!(" · {namespace}"))
        };
        let worst = self.rows.first().map_or(Rank::Working, |row| row.rank);
        let (mark, icon) = match worst {
            Rank::Critical => ('✕', CROSS),
            Rank::Warning | Rank::Maintenance => ('!', TRIANGLE),
            Rank::Working => ('✓', CHECK_MARK),
        };
        let (text, title) = match (failing, all) {
            (0, 0) => (format!("No check{of} is configured"), "no checks".to_owned()),
            (0, 1) => (format!("The only check{of} is working"), "working".to_owned()),
            (0, _) => (format!("All {all} checks{of} are working"), format!("all {all} working")),
            (1, _) => {
                (format!("1 of {all} checks{of} is not working"), format!("1 of {all} not working"))
            }
            _ => (
                format!("{failing} of {all} checks{of} are not working"),
                format!("{failing} of {all} not working"),
            ),
        };
        let note = match worst {
            Rank::Warning | Rank::Maintenance => {
                Some("No critical check fails, except for those in maintenance.")
            }
            Rank::Critical | Rank::Working => None,
        };
        Headline { text, title: format!("{mark} {title}{dot}"), icon, note }
    }

    /// The history of each check that has one.
    pub(super) fn histories(&self) -> impl Iterator<Item = (&Row<'a>, &'a History)> {
        self.rows.iter().filter_map(|row| Some((row, row.history()?)))
    }
}

impl<'a> Row<'a> {
    pub(super) fn is_failing(&self) -> bool {
        self.rank != Rank::Working
    }

    pub(super) fn history(&self) -> Option<&'a History> {
        self.check?.history.as_deref()
    }

    /// Since when the check has had its state. `None` if this report did not wait for the result.
    pub(super) fn since(&self) -> Option<Moment> {
        let history = self.history()?;
        (history.is_failing() == self.is_failing()).then(|| history.since())
    }

    /// What the failures of several checks have in common if they have one cause.
    pub(super) fn cause(&self) -> u64 {
        let last = self.check.and_then(|check| check.last.as_ref());
        let same = |line: &str| line == self.result.status;
        if let Some(last) = last.filter(|last| last.line.as_deref().is_some_and(same)) {
            return last.cause;
        }
        let mut hasher = DefaultHasher::new();
        self.result.status.hash(&mut hasher);
        hasher.finish()
    }

    /// The step that failed.
    pub(super) fn failed_step(&self) -> &'a str {
        self.result.status.split_once(": ").map_or("", |(step, _)| step)
    }

    /// An identifier of one of its elements, which stays the same when the page is requested again.
    pub(super) fn id(&self, of: &str) -> String {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        const KEPT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_');
        format!("{of}-{}", utf8_percent_encode(&self.name, KEPT))
    }

    /// The median of the last durations, and their 95th percentile.
    pub(super) fn percentiles(&self) -> Option<(Duration, Duration)> {
        let results = self.history()?.results();
        let mut durations: Vec<_> = results.map(PastResult::duration).collect();
        durations.sort_unstable();
        let at = |percent: usize| {
            durations.get((durations.len() * percent).div_ceil(100).saturating_sub(1))
        };
        Some((*at(50)?, *at(95)?))
    }
}

impl Rank {
    fn of(result: &CheckResult, check: Option<&CheckOverview>) -> Self {
        if result.is_working() {
            return Self::Working;
        }
        match check {
            Some(check) if check.maintenance_until.is_some() => Self::Maintenance,
            Some(check) if check.severity == Severity::Warning => Self::Warning,
            _ => Self::Critical,
        }
    }

    /// Its mark, word and class. Neither shape nor word depends on colours.
    pub(super) fn mark(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Critical => ("✕", "not working", "bad"),
            Self::Warning => ("!", "not working (warning)", "warn"),
            Self::Maintenance => ("▲", "not working (maintenance)", "warn"),
            Self::Working => ("✓", "working", "ok"),
        }
    }
}
