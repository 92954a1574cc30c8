//! Runs the checks of a namespace: all at once, each within its own timeout.

mod cached_check;
mod options;
mod run;
mod subscriber;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use probe::{Checks, step};
use tokio::sync::Semaphore;

use self::cached_check::CachedCheck;
pub use self::options::RunOptions;
use crate::config::{Component, ConfiguredCheck};
use crate::report::{CheckResult, Components, Report};

/// How many checks may run at the same time in this process.
///
/// A run may occupy a thread of tokio's blocking pool, which the reading of files uses as well, and which has 512.
const MAX_CONCURRENT_RUNS: usize = 256;

/// The limit on concurrent runs, which all runners of a process share.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit(Arc<Semaphore>);

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONCURRENT_RUNS)))
    }
}

/// Runs the checks of a list of components, and caches their outcomes.
pub struct Runner {
    entries: Vec<RunnerEntry>,
    /// The last report that needed no run.
    cached: Mutex<Option<CachedReport>>,
}

/// A report that may be served again, until the first of its results expires or there is a new outcome.
struct CachedReport {
    components: Arc<Components>,
    /// The sum of [`CachedCheck::outcomes`] when it was made.
    outcomes: u64,
    expires: Instant,
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
    /// A runner of `components`. A component that `previous` has with the same configuration keeps its outcomes and its runs in progress.
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
        Self { entries: components.into_iter().map(entry).collect(), cached: Mutex::default() }
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

    /// A runner of those components and checks that have one of these `names`. It shares outcomes and runs in progress with this one.
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
        Self { entries: self.entries.iter().filter_map(part).collect(), cached: Mutex::default() }
    }

    /// The result of every check, as soon as the slowest is done.
    pub async fn run(&self, options: RunOptions) -> RunReport {
        if !options.fresh
            && let Some(report) = self.cached()
        {
            return report;
        }
        // Boxed, so that the future is small if the report is cached.
        Box::pin(self.run_checks(options)).await
    }

    async fn run_checks(&self, options: RunOptions) -> RunReport {
        let limit = options.wait_limit();
        let mut pending: Vec<_> =
            self.checks().map(|check| check.request(options.fresh, limit)).collect();
        let mut results = Vec::with_capacity(pending.len());
        // The check that was started last usually ends last. Awaiting it first avoids a wakeup for each of the others.
        while let Some(last) = pending.pop() {
            results.push(last.result().await);
        }
        results.reverse();
        let age = results.iter().filter_map(|reported| reported.age).max();
        let refused = results.iter().any(|reported| is_refused(reported.failed_step));
        let components = self.components(results.into_iter().map(|reported| reported.result));
        RunReport { report: Report { components: Arc::new(components), age }, refused }
    }

    /// The report, if no check has to run for it.
    fn cached(&self) -> Option<RunReport> {
        let mut cached = self.cached.lock();
        let outcomes = self.checks().map(|check| check.outcomes()).sum();
        let now = Instant::now();
        if !cached.as_ref().is_some_and(|last| last.outcomes == outcomes && now < last.expires) {
            *cached = self.collect_cached(outcomes);
        }
        cached.as_ref().map(|cached| {
            let age = Some(now.saturating_duration_since(cached.oldest));
            let report = Report { components: cached.components.clone(), age };
            RunReport { report, refused: cached.refused }
        })
    }

    /// A report of the last outcomes, or `None` if one of them has expired.
    fn collect_cached(&self, outcomes: u64) -> Option<CachedReport> {
        let last: Vec<_> = self.checks().map(|check| check.cached()).collect::<Option<_>>()?;
        let components = self.components(last.iter().map(|(outcome, _)| outcome.to_result()));
        Some(CachedReport {
            components: Arc::new(components),
            outcomes,
            expires: last.iter().map(|(_, expires)| *expires).min()?,
            oldest: last.iter().map(|(outcome, _)| outcome.completed).min()?,
            refused: last.iter().any(|(outcome, _)| is_refused(outcome.failed_step)),
        })
    }

    /// The components of a report, with `results` in the order of [`Self::checks`].
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

/// A report, and whether it indicates outdated credentials.
#[derive(Debug)]
pub struct RunReport {
    /// The report.
    pub report: Report,
    /// Whether a backend rejected the credentials, which may have been rotated in Vault.
    pub refused: bool,
}

/// Whether a failure at this step means that the credentials were rejected.
fn is_refused(failed_step: Option<&str>) -> bool {
    failed_step == Some(step::AUTHENTICATE)
}
