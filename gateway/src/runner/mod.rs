//! The board: every check of a namespace, asked all at once, each within its own deadline.

mod cached_check;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Checks, step};
use tokio::sync::Semaphore;

use self::cached_check::CachedCheck;
pub use self::cached_check::Limits;
use crate::config::{Component, ConfiguredCheck};
use crate::report::{CheckResult, Components, Report};

/// How many checks may run at the same time in this process.
///
/// A run may have a thread of its own while it lasts, and name resolution takes threads of the same pool, which has 512.
const RUNS: usize = 256;

/// What a caller wants of a report.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Run every check, whatever results are at hand.
    pub fresh: bool,
    /// How long the caller waits; what is not done by then says so in its place.
    pub wait: Option<Duration>,
    /// When the report must be complete, and how long that was from the start of the answer.
    pub deadline: Option<(Instant, Duration)>,
}

/// A process's limit on concurrent runs, shared by all its boards.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit(Arc<Semaphore>);

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RUNS)))
    }
}

/// See the module.
pub struct Runner {
    entries: Vec<RunnerEntry>,
    /// The last answer for which no check had to run.
    last: Mutex<Option<CachedReport>>,
}

/// An answer that may be given again.
struct CachedReport {
    components: Arc<Components>,
    /// How many results there had been by then.
    results: u64,
    until: Instant,
    /// When the oldest of its results was complete.
    oldest: Instant,
    refused: bool,
}

/// A component and the cached results of its checks.
#[derive(Clone)]
struct RunnerEntry {
    component: Component,
    checks: Checks<Arc<CachedCheck>>,
}

impl Runner {
    /// A runner of `components`. A component that `previous` runs with the same configuration keeps its results and its runs.
    pub fn new(
        components: Vec<Component>,
        limit: &ConcurrencyLimit,
        previous: Option<&Self>,
    ) -> Self {
        let entry = |component: Component| {
            let unchanged = previous.and_then(|runner| {
                runner.entries.iter().find(|entry| entry.component.is_same(&component))
            });
            unchanged.cloned().unwrap_or_else(|| RunnerEntry::new(component, limit))
        };
        Self { entries: components.into_iter().map(entry).collect(), last: Mutex::default() }
    }

    /// The names of all components, and of the checks in their groups, such as `cache.data`.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for RunnerEntry { component, checks } in &self.entries {
            names.push(component.name.clone());
            if let Checks::Group(_) = checks {
                names.extend(checks.iter_named(&component.name).map(|(name, _)| name));
            }
        }
        names
    }

    /// A runner of the components and checks that have one of these `names`. It shares runs and results with this one.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let part = |entry: &RunnerEntry| {
            let RunnerEntry { component, checks } = entry;
            if names.contains(&component.name) {
                return Some(entry.clone());
            }
            let checks =
                checks.filter_group(|name| names.contains(&name.within(&component.name)))?;
            Some(RunnerEntry { component: component.clone(), checks })
        };
        Self { entries: self.entries.iter().filter_map(part).collect(), last: Mutex::default() }
    }

    /// Asks every check and waits for the slowest.
    pub async fn ask(&self, ask: RunOptions) -> RunReport {
        if !ask.fresh
            && let Some(answered) = self.stored()
        {
            return answered;
        }
        // Boxed, so that those for whom nothing has to run do not carry what a run needs.
        Box::pin(self.run(ask)).await
    }

    async fn run(&self, ask: RunOptions) -> RunReport {
        let deadline = ask.wait.map(|wait| Instant::now() + wait);
        let mut asked: Vec<_> = self.checks().map(|check| check.ask(ask.fresh, deadline)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        // Who was asked last answers last, usually: whoever waits for him first is not woken for each of the others.
        while let Some(last) = asked.pop() {
            answers.push(last.answer().await);
        }
        answers.reverse();
        let age = answers.iter().filter_map(|answer| answer.age).max();
        let refused = answers.iter().any(|answer| is_refused(answer.step));
        let lines = answers.into_iter().map(|answer| answer.line);
        RunReport { report: Report { components: Arc::new(self.components(lines)), age }, refused }
    }

    /// The answer if no check has to run for it: as long as no result changes, the last such answer is given again.
    fn stored(&self) -> Option<RunReport> {
        let mut last = self.last.lock();
        let results = self.checks().map(|check| check.results()).sum();
        let now = Instant::now();
        if !last.as_ref().is_some_and(|last| last.results == results && now < last.until) {
            *last = self.gather(results);
        }
        last.as_ref().map(|last| {
            let age = Some(now.saturating_duration_since(last.oldest));
            let report = Report { components: last.components.clone(), age };
            RunReport { report, refused: last.refused }
        })
    }

    /// What every check said last, if all of it may be served again.
    fn gather(&self, results: u64) -> Option<CachedReport> {
        let stored: Vec<_> = self.checks().map(|check| check.stored()).collect::<Option<_>>()?;
        let until = stored.iter().map(|stored| stored.until).min()?;
        let oldest = stored.iter().map(|stored| stored.done).min()?;
        let refused = stored.iter().any(|stored| is_refused(stored.step));
        let lines = stored.into_iter().map(|stored| stored.line);
        Some(CachedReport {
            components: Arc::new(self.components(lines)),
            results,
            until,
            oldest,
            refused,
        })
    }

    /// The components of a report, with the next of `results` for each check in the order of [`Self::checks`].
    fn components(&self, mut results: impl Iterator<Item = CheckResult>) -> Components {
        let component = |entry: &RunnerEntry| {
            Some((entry.component.name.clone(), entry.checks.with_values(&mut results)?))
        };
        self.entries.iter().filter_map(component).collect::<Vec<_>>().into()
    }

    fn checks(&self) -> impl Iterator<Item = &Arc<CachedCheck>> {
        self.entries.iter().flat_map(|entry| entry.checks.iter())
    }
}

impl RunnerEntry {
    fn new(component: Component, limit: &ConcurrencyLimit) -> Self {
        let named = component.checks.iter_named(&component.name).map(|(name, configured)| {
            let ConfiguredCheck { check, limits } = configured;
            Arc::new(CachedCheck::new(name, check.clone(), *limits, limit.0.clone()))
        });
        let checks = component.checks.with_values(named);
        let Some(checks) = checks else { unreachable!("each check has a name") };
        Self { component, checks }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.component.name)).finish()
    }
}

/// A report, and what the gateway itself can learn from it.
#[derive(Debug)]
pub struct RunReport {
    /// The report.
    pub report: Report,
    /// Whether some backend refused the credentials: they may have been changed where they are kept.
    pub refused: bool,
}

/// Whether a check that failed at this step was refused because of who it is.
fn is_refused(failed: Option<&str>) -> bool {
    failed == Some(step::AUTHENTICATE)
}
