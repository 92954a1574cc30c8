//! Runs the checks of a namespace at the same time, each within its own timeout.

mod cached_check;
mod concurrency_limit;
mod history;
mod options;
mod run;
mod schedule;
mod statistics;
mod subscriber;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use probe::{Checks, Observation, Secret, yield_now};

pub(crate) use self::cached_check::WAITS;
use self::cached_check::{CachedCheck, LastOutcome};
pub use self::concurrency_limit::ConcurrencyLimit;
#[cfg(test)]
pub(crate) use self::history::tests as history_tests;
pub(crate) use self::history::{
    CELLS, Cell, Change, History, MAX_RESULTS, Moment, PastResult, intern,
};
pub use self::options::RunOptions;
pub(crate) use self::run::{Outcome, RunResult};
pub(crate) use self::schedule::HOST;
use self::schedule::Schedule;
pub(crate) use self::statistics::Durations;
use self::statistics::Statistics;
use self::subscriber::{ReportedResult, Subscriber};
use crate::config::{Component, ConfiguredCheck, Severity};
use crate::overview::CheckOverview;
use crate::report::{CheckResult, Components, Report};
use crate::share::{Identity, SharedCheck, Store};

/// How many checks a report starts at a time. Other tasks take their turn before it starts further ones, and runs that have ended by then leave them their memory.
const BATCH: usize = 128;

/// The age at which a result says nothing about the present any more, unless the interval of its check is long.
const STALE_AFTER: Duration = Duration::from_mins(5);

/// The same in intervals, so that a run may be late.
const STALE_AFTER_INTERVALS: u32 = 3;

/// Runs the checks of a list of components, and caches their outcomes.
pub struct Runner {
    entries: Vec<RunnerEntry>,
    /// The last report that needed no run.
    cached: Mutex<Option<CachedReport>>,
    /// The number of outcomes of all checks so far. While it stays the same, so do their last outcomes.
    outcomes: Arc<AtomicU64>,
}

/// A report that may be served again, until the first of its results expires or there is a new outcome.
struct CachedReport {
    components: Arc<Components>,
    /// The number of outcomes when it was made.
    outcomes: u64,
    expires: Instant,
    /// When the oldest of its results was complete.
    oldest: Instant,
    refused: bool,
}

/// A component and its checks.
#[derive(Clone)]
struct RunnerEntry {
    name: Arc<str>,
    kind: &'static str,
    identity: [u8; 32],
    checks: Checks<RunnerCheck>,
}

/// A check with its cached result, and with settings that may change without a new check.
#[derive(Clone)]
struct RunnerCheck {
    cached: Arc<CachedCheck>,
    schedule: Option<Schedule>,
    severity: Severity,
    maintenance_until: Option<SystemTime>,
    is_shared: bool,
}

impl Runner {
    /// A runner of the components of a namespace. A check of a component that `previous` has as well keeps its outcomes and its runs in progress.
    ///
    /// A check that is not the same any more continues the history of the one with its name: a new configuration is often the repair, and its effect is then visible.
    pub fn new(
        namespace: &str,
        components: Vec<Component>,
        limit: &ConcurrencyLimit,
        previous: Option<&Self>,
    ) -> Self {
        let namespace: Arc<str> = namespace.into();
        let by_name: HashMap<_, _> = previous
            .into_iter()
            .flat_map(Self::checks)
            .map(|check| (check.cached.name(), &check.cached))
            .collect();
        let history = |name: &str| by_name.get(name).and_then(|check| check.take_history());
        let outcomes = previous.map(|runner| runner.outcomes.clone()).unwrap_or_default();
        let entry = |component: Component| {
            let is_same = |entry: &&RunnerEntry| {
                *entry.name == *component.name && entry.identity == component.identity
            };
            let known = previous.and_then(|runner| runner.entries.iter().find(is_same));
            RunnerEntry::new(&namespace, component, limit, known, &history, &outcomes)
        };
        let entries = components.into_iter().map(entry).collect();
        Self { entries, cached: Mutex::default(), outcomes }
    }

    /// Shares the results of the checks for which this is configured, if there is a `store`. All others run without regard to other replicas.
    pub(crate) fn share(&self, namespace: &str, store: Option<(&Arc<Store>, &Secret)>) {
        for RunnerEntry { identity, checks, .. } in &self.entries {
            for RunnerCheck { cached, is_shared, schedule, .. } in checks.iter() {
                let interval = schedule.map(|schedule| schedule.interval()).unwrap_or_default();
                let share = store.filter(|_| *is_shared).map(|(store, token)| {
                    let target = cached.target();
                    let max_age = cached.limits().max_age.max(interval);
                    let check = &*cached.name();
                    let about = Identity { namespace, check, target, settings: identity, max_age };
                    let listener: Weak<CachedCheck> = Arc::downgrade(cached);
                    SharedCheck::new(store, token, &about, listener)
                });
                cached.set_share(share);
            }
        }
    }

    /// The names of all components, and of the checks in their groups, such as `cache.data`.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for RunnerEntry { name, checks, .. } in &self.entries {
            names.push(name.to_string());
            if let Checks::Group(_) = checks {
                names.extend(checks.iter_named(name).map(|(name, _)| name));
            }
        }
        names
    }

    /// A runner of those components and checks that have one of these `names`. It shares outcomes and runs in progress with this one.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let part = |entry: &RunnerEntry| {
            let RunnerEntry { name: component, checks, .. } = entry;
            if names.iter().any(|name| **name == **component) {
                return Some(entry.clone());
            }
            let checks = checks.filter_group(|name| names.contains(&name.within(component)))?;
            Some(RunnerEntry { checks, ..entry.clone() })
        };
        let entries = self.entries.iter().filter_map(part).collect();
        Self { entries, cached: Mutex::default(), outcomes: self.outcomes.clone() }
    }

    /// The result of every check, as soon as the slowest is done.
    pub async fn run(&self, options: RunOptions) -> RunReport {
        match self.cached(options) {
            Some(report) => report,
            None => self.run_checks(options).await,
        }
    }

    /// Starts, or joins, a run of every check that is due at `now`. Also returns when the next check is due, or `None` if none has an interval.
    pub(crate) fn start_due(&self, now: Instant) -> (Vec<Subscriber>, Option<Instant>) {
        let (mut runs, mut next) = (Vec::new(), None);
        for check in self.checks() {
            let Some(schedule) = &check.schedule else { continue };
            if check.cached.next_run(schedule, now) <= now {
                runs.push(check.cached.subscribe(schedule.interval()));
            }
            let due = check.cached.next_run(schedule, now);
            next = Some(next.map_or(due, |next: Instant| next.min(due)));
        }
        (runs, next)
    }

    /// The state of each check at `now`, for its metrics.
    pub(crate) fn samples(&self, now: SystemTime) -> Vec<CheckSample> {
        let mut samples = Vec::new();
        for RunnerEntry { name, checks, .. } in &self.entries {
            samples.extend(checks.iter().map(|check| check.sample(name.clone(), now)));
        }
        samples
    }

    /// The state of each check at `now`, for the page.
    pub(crate) fn overview(&self, now: SystemTime) -> Vec<CheckOverview> {
        let mut checks = Vec::new();
        for entry in &self.entries {
            checks.extend(entry.checks.iter().map(|check| check.overview(entry.kind, now)));
        }
        checks
    }

    /// The same, for a caller that [`Self::cached`] has no report for.
    pub(crate) async fn run_checks(&self, options: RunOptions) -> RunReport {
        let limit = options.wait_limit();
        let (requested, mut pending) = (Instant::now(), Vec::new());
        for (number, check) in (1..).zip(self.checks()) {
            pending.push(check.cached.request(options.fresh, limit, requested));
            if number % BATCH == 0 && limit.is_none_or(|limit| Instant::now() < limit.at) {
                yield_now().await;
            }
        }
        let mut results = Vec::with_capacity(pending.len());
        // The check that was started last usually ends last. Awaiting it first avoids a wakeup for each of the others.
        while let Some(last) = pending.pop() {
            results.push(last.result().await);
        }
        results.reverse();
        let age = results.iter().filter_map(|reported| reported.age).max();
        let refused = results.iter().any(ReportedResult::is_refused);
        let components = self.components(results.into_iter().map(|reported| reported.result));
        RunReport { report: self.report(Arc::new(components), age), refused }
    }

    /// The report, if no check has to run for it.
    pub(crate) fn cached(&self, options: RunOptions) -> Option<RunReport> {
        if options.fresh {
            return None;
        }
        let mut cached = self.cached.lock();
        let outcomes = self.outcomes.load(Ordering::Acquire);
        let now = Instant::now();
        if !cached.as_ref().is_some_and(|last| last.outcomes == outcomes && now < last.expires) {
            *cached = self.collect_cached(outcomes);
        }
        cached.as_ref().map(|cached| {
            let age = Some(now.saturating_duration_since(cached.oldest));
            let report = self.report(cached.components.clone(), age);
            RunReport { report, refused: cached.refused }
        })
    }

    /// A report of the last outcomes, or `None` if one of them has expired.
    fn collect_cached(&self, outcomes: u64) -> Option<CachedReport> {
        let last: Vec<_> =
            self.checks().map(|check| check.cached.cached()).collect::<Option<_>>()?;
        let components = self.components(last.iter().map(|(outcome, _)| outcome.to_result()));
        Some(CachedReport {
            components: Arc::new(components),
            outcomes,
            expires: last.iter().map(|(_, expires)| *expires).min()?,
            oldest: last.iter().map(|(outcome, _)| outcome.completed).min()?,
            refused: last.iter().any(|(outcome, _)| outcome.is_refused()),
        })
    }

    fn report(&self, components: Arc<Components>, age: Option<Duration>) -> Report {
        let has_critical_failure = !components.all_working() && self.is_critical(&components);
        Report { components, age, has_critical_failure }
    }

    /// Whether one of the failures in `components` is critical now.
    fn is_critical(&self, components: &Components) -> bool {
        let now = SystemTime::now();
        let results = components.iter().flat_map(|(_, results)| results.iter());
        self.checks()
            .zip(results)
            .any(|(check, result)| !result.is_working() && check.is_critical(now))
    }

    /// The components of a report, with `results` in the order of [`Self::checks`].
    fn components(&self, mut results: impl Iterator<Item = CheckResult>) -> Components {
        let component = |entry: &RunnerEntry| {
            Some((entry.name.to_string(), entry.checks.with_values(&mut results)?))
        };
        self.entries.iter().filter_map(component).collect::<Vec<_>>().into()
    }

    fn checks(&self) -> impl Iterator<Item = &RunnerCheck> {
        self.entries.iter().flat_map(|entry| entry.checks.iter())
    }
}

impl RunnerEntry {
    /// An entry for `component`. If it is `known`, its checks stay, and only their other settings change.
    fn new(
        namespace: &Arc<str>,
        component: Component,
        limit: &ConcurrencyLimit,
        known: Option<&Self>,
        history: &dyn Fn(&str) -> Option<Box<History>>,
        outcomes: &Arc<AtomicU64>,
    ) -> Self {
        let Component { name: component, kind, checks, identity } = component;
        let mut cached = known.into_iter().flat_map(|known| known.checks.iter());
        let made = checks.iter_named(&component).map(|(name, configured)| {
            let ConfiguredCheck { check, settings } = configured;
            let is_shared = settings.share.applies(check.leaves_traces());
            let schedule = if is_shared { Schedule::shared } else { Schedule::new };
            let schedule = schedule(settings.interval, namespace, &name);
            let cached = if let Some(known) = cached.next() {
                known.cached.clone()
            } else {
                let (check, limits) = (check.clone(), settings.limits);
                let (limit, history) = (limit.clone(), history(&name));
                let outcomes = outcomes.clone();
                Arc::new(CachedCheck::new(name, check, limits, limit, history, outcomes))
            };
            cached.set_namespace(namespace.clone());
            let (severity, maintenance_until) = (settings.severity, settings.maintenance_until);
            RunnerCheck { cached, schedule, severity, maintenance_until, is_shared }
        });
        let checks = checks.with_values(made);
        let Some(checks) = checks else { unreachable!("each check has a name") };
        Self { name: component.into(), kind, identity, checks }
    }
}

impl RunnerCheck {
    fn sample(&self, component: Arc<str>, now: SystemTime) -> CheckSample {
        let (last, mut observations, statistics) = self.cached.sample();
        let stale_after = STALE_AFTER.max(self.interval().saturating_mul(STALE_AFTER_INTERVALS));
        let last = last.filter(|last| last.age <= stale_after);
        if last.is_none() {
            observations.clear();
        }
        CheckSample {
            component,
            name: self.cached.name(),
            severity: self.severity,
            in_maintenance: self.is_in_maintenance(now),
            is_shared: self.is_shared,
            last,
            observations,
            statistics,
            timeout: self.cached.limits().timeout,
            durations: self.cached.durations(),
        }
    }

    fn overview(&self, kind: &'static str, now: SystemTime) -> CheckOverview {
        let maintenance_until = self.maintenance_until.filter(|_| self.is_in_maintenance(now));
        let (severity, interval) = (self.severity, self.interval());
        self.cached.overview(kind, severity, maintenance_until, interval, self.is_shared)
    }

    fn interval(&self) -> Duration {
        self.schedule.map(|schedule| schedule.interval()).unwrap_or_default()
    }

    /// Whether a failure means that the application does not work, and is not expected.
    fn is_critical(&self, now: SystemTime) -> bool {
        self.severity == Severity::Critical && !self.is_in_maintenance(now)
    }

    fn is_in_maintenance(&self, now: SystemTime) -> bool {
        self.maintenance_until.is_some_and(|end| now < end)
    }
}

/// The state of a check, for its metrics and for `health-gateway probe`.
#[derive(Clone, Debug)]
pub(crate) struct CheckSample {
    /// The component that it belongs to.
    pub(crate) component: Arc<str>,
    /// Its full name, such as `cache.data`.
    pub(crate) name: Arc<str>,
    pub(crate) severity: Severity,
    pub(crate) in_maintenance: bool,
    /// Whether its results are shared with other replicas.
    pub(crate) is_shared: bool,
    /// The last outcome, unless it is stale.
    pub(crate) last: Option<LastOutcome>,
    /// What the run of the last outcome observed, unless it is stale.
    pub(crate) observations: Vec<Observation>,
    pub(crate) statistics: Statistics,
    /// How long a run may take.
    pub(crate) timeout: Duration,
    /// How long each step of the last run took.
    pub(crate) durations: Vec<(&'static str, Duration)>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.name)).finish()
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
