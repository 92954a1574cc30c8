//! The board: every check of a namespace, asked all at once, each within its own deadline.

mod cached_check;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use self::cached_check::CachedCheck;
pub use self::cached_check::Limits;
use crate::config::{Checks, Component};
use crate::report::{CheckResult, ComponentResult, Components, Report};

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
    components: Vec<RunnerEntry>,
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

/// A component on the board.
struct RunnerEntry {
    component: Component,
    slots: CachedChecks,
}

#[derive(Clone)]
enum CachedChecks {
    Single(Arc<CachedCheck>),
    Group(Vec<(String, Arc<CachedCheck>)>),
}

impl Runner {
    /// A board of `components`. Those that are as they were on the `previous` board keep their results and their runs.
    pub fn new(
        components: Vec<Component>,
        limit: &ConcurrencyLimit,
        previous: Option<&Self>,
    ) -> Self {
        let place = |component: Component| {
            let known = previous.and_then(|board| {
                board.components.iter().find(|placed| placed.component.is_same(&component))
            });
            match known {
                Some(placed) => {
                    RunnerEntry { component: placed.component.clone(), slots: placed.slots.clone() }
                }
                None => RunnerEntry { slots: slots(&component, limit), component },
            }
        };
        Self { components: components.into_iter().map(place).collect(), last: Mutex::default() }
    }

    /// The names of all components, and of the checks in their groups, such as `cache.data`.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for RunnerEntry { component, slots } in &self.components {
            names.push(component.name.clone());
            if let CachedChecks::Group(checks) = slots {
                names.extend(checks.iter().map(|(check, _)| path(&component.name, check)));
            }
        }
        names
    }

    /// A board of those components and checks alone that have one of these `names`; it shares runs and results with this one.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let chosen = |name: &String| names.contains(name);
        let part = |RunnerEntry { component, slots }: &RunnerEntry| {
            let slots = match slots {
                slots if chosen(&component.name) => slots.clone(),
                CachedChecks::Single(_) => return None,
                CachedChecks::Group(checks) => {
                    let chosen = |(check, _): &&(String, _)| chosen(&path(&component.name, check));
                    let checks: Vec<_> = checks.iter().filter(chosen).cloned().collect();
                    (!checks.is_empty()).then_some(CachedChecks::Group(checks))?
                }
            };
            Some(RunnerEntry { component: component.clone(), slots })
        };
        let components = self.components.iter().filter_map(part).collect();
        Self { components, last: Mutex::default() }
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
        let mut asked: Vec<_> = self.slots().map(|slot| slot.ask(ask.fresh, deadline)).collect();
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
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let results = self.slots().map(|slot| slot.results()).sum();
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
        let stored: Vec<_> = self.slots().map(|slot| slot.stored()).collect::<Option<_>>()?;
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

    /// The report's components, with a line for each check in the order of [`Self::slots`].
    fn components(&self, mut lines: impl Iterator<Item = CheckResult>) -> Components {
        let entry = |placed: &RunnerEntry| {
            let entry = match &placed.slots {
                CachedChecks::Single(_) => ComponentResult::Single(lines.next()?),
                CachedChecks::Group(slots) => {
                    let names = slots.iter().map(|(name, _)| name.clone());
                    ComponentResult::Group(names.zip(&mut lines).collect())
                }
            };
            Some((placed.component.name.clone(), entry))
        };
        self.components.iter().filter_map(entry).collect::<Vec<_>>().into()
    }

    fn slots(&self) -> impl Iterator<Item = &Arc<CachedCheck>> {
        self.components.iter().flat_map(|placed| placed.slots.iter())
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.components.iter().map(|placed| &placed.component.name)).finish()
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
fn is_refused(step: Option<&str>) -> bool {
    step == Some("authenticate")
}

impl CachedChecks {
    fn iter(&self) -> impl Iterator<Item = &Arc<CachedCheck>> {
        let (single, group) = match self {
            Self::Single(slot) => (Some(slot), [].as_slice()),
            Self::Group(slots) => (None, slots.as_slice()),
        };
        single.into_iter().chain(group.iter().map(|(_, slot)| slot))
    }
}

fn slots(component: &Component, limit: &ConcurrencyLimit) -> CachedChecks {
    let slot = |name: String, check: &_, limits| {
        Arc::new(CachedCheck::new(name, Arc::clone(check), limits, limit.0.clone()))
    };
    match &component.checks {
        Checks::Single(check, limits) => {
            CachedChecks::Single(slot(component.name.clone(), check, *limits))
        }
        Checks::Group(checks) => CachedChecks::Group(
            checks
                .iter()
                .map(|(name, check, limits)| {
                    (name.clone(), slot(path(&component.name, name), check, *limits))
                })
                .collect(),
        ),
    }
}

/// The full name of a check in a group.
fn path(component: &str, check: &str) -> String {
    format!("{component}.{check}")
}
