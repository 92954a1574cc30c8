//! The history of a check in memory: its last results, one day, and its changes.
//!
//! It takes at most 4 KiB for a check, so what it keeps is counted, and texts are cut off.
//! Changes are kept apart from results, so that no number of results displaces the reason of a failure.

mod moment;
mod step_id;

use std::array;
use std::collections::VecDeque;
use std::time::Duration;

pub(crate) use self::moment::Moment;
pub(crate) use self::step_id::{StepId, intern};
use super::WAITS;
use super::run::Outcome;

/// How many results are kept.
pub(crate) const MAX_RESULTS: usize = 60;

/// How many changes are kept.
pub(crate) const MAX_CHANGES: usize = 20;

/// How many cells a day has.
pub(crate) const CELLS: usize = 144;

/// The time of a cell in seconds.
const CELL_SECONDS: u32 = 600;

/// How many steps of the last run are kept. No check has more.
const MAX_STEPS: usize = 12;

/// The maximum length of the line of a failure in bytes. A longer one loses its middle, since its beginning names the step and its end the target.
const MAX_LINE: usize = 140;

/// The results of a check, and its changes.
#[derive(Clone, Debug)]
pub(crate) struct History {
    begun: Moment,
    /// When it began to work, or to fail.
    since: Moment,
    is_failing: bool,
    last_success: Option<Moment>,
    results: VecDeque<PastResult>,
    day: Day,
    changes: VecDeque<Change>,
    /// The steps of the last run, each with its duration in microseconds.
    steps: [Option<(StepId, u32)>; MAX_STEPS],
}

/// One result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PastResult {
    /// When its run was complete.
    pub(crate) at: Moment,
    microseconds: u32,
    /// The step that failed.
    pub(crate) failed_step: Option<StepId>,
}

/// A check has begun to fail, or to work again.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Moment,
    /// The line of the failure, or `None` if the check works again.
    pub(crate) line: Option<Box<str>>,
    /// How long the check had worked or failed before in seconds; 0 for a check that failed from the beginning.
    lasted: u32,
}

/// The last 24 hours.
#[derive(Clone, Debug)]
struct Day {
    cells: [Cell; CELLS],
    /// The number of the newest cell, counted from the start of the process.
    newest: u32,
}

/// The results of ten minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) runs: u16,
    pub(crate) failed: u16,
}

/// A change that has just happened, for the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transition {
    /// Since when the check had been working or failing, unless this is its first result.
    pub(super) since: Option<Moment>,
    /// The step that failed last.
    pub(super) step: Option<&'static str>,
}

impl History {
    fn new(now: Moment) -> Self {
        Self {
            begun: now,
            since: now,
            is_failing: false,
            last_success: None,
            results: VecDeque::with_capacity(MAX_RESULTS),
            day: Day { cells: [Cell::default(); CELLS], newest: now.seconds() / CELL_SECONDS },
            changes: VecDeque::new(),
            steps: [None; MAX_STEPS],
        }
    }

    /// Adds a result to a history, which begins with the first one. Returns the change that it is, if any.
    pub(super) fn add(
        history: &mut Option<Box<Self>>,
        outcome: &Outcome,
        steps: &[(&'static str, Duration)],
        now: Moment,
    ) -> Option<Transition> {
        let is_first = history.is_none();
        let history = history.get_or_insert_with(|| Box::new(Self::new(now)));
        // A run that blocks its thread has two outcomes, of which the first was its result.
        if outcome.blocks && !is_first {
            return None;
        }
        let is_failing = outcome.failure.is_some();
        let transition = (is_failing != history.is_failing).then(|| Transition {
            since: (!is_first).then_some(history.since),
            step: outcome.failed_step.or_else(|| {
                let last = history.results.back()?;
                last.failed_step.map(StepId::name)
            }),
        });
        if transition.is_some() {
            history.change(outcome.failure.as_deref(), now);
        }
        if !is_failing {
            history.last_success = Some(now);
        }
        push(
            &mut history.results,
            PastResult {
                at: now,
                microseconds: microseconds(outcome.response_time),
                failed_step: outcome.failed_step.map(StepId::of),
            },
            MAX_RESULTS,
        );
        history.day.add(is_failing, now);
        history.steps = array::from_fn(|at| {
            let (step, mut duration) = *steps.get(at)?;
            // A step counts on until the task of its run is noticed to have ended.
            if !WAITS.contains(&step) {
                duration = duration.min(outcome.response_time);
            }
            Some((StepId::of(step), microseconds(duration)))
        });
        transition
    }

    fn change(&mut self, failure: Option<&str>, now: Moment) {
        if self.changes.capacity() == 0 {
            self.changes.reserve_exact(MAX_CHANGES);
        }
        let lasted = u32::try_from(now.since(self.since).as_secs()).unwrap_or(u32::MAX);
        let change = Change { at: now, line: failure.map(|line| shorten(line).into()), lasted };
        push(&mut self.changes, change, MAX_CHANGES);
        self.is_failing = failure.is_some();
        self.since = now;
    }

    /// When it began.
    pub(crate) fn begun(&self) -> Moment {
        self.begun
    }

    /// Since when the check has been working, or failing.
    pub(crate) fn since(&self) -> Moment {
        self.since
    }

    /// Whether the last result is a failure.
    pub(crate) fn is_failing(&self) -> bool {
        self.is_failing
    }

    /// When the check worked last.
    pub(crate) fn last_success(&self) -> Option<Moment> {
        self.last_success
    }

    /// The last results, the oldest first.
    pub(crate) fn results(&self) -> impl ExactSizeIterator<Item = &PastResult> + Clone {
        self.results.iter()
    }

    /// The last changes, the newest first.
    pub(crate) fn changes(&self) -> impl ExactSizeIterator<Item = &Change> {
        self.changes.iter().rev()
    }

    /// The steps of the last run with their durations.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let steps = self.steps.iter().flatten();
        steps.map(|(step, duration)| (step.name(), Duration::from_micros((*duration).into())))
    }

    /// The cells of the 24 hours until `now`, the oldest first.
    pub(crate) fn day(&self, now: Moment) -> [Cell; CELLS] {
        let mut day = self.day.clone();
        day.advance(now);
        let oldest = day.newest as usize + 1;
        array::from_fn(|at| day.cells[(oldest + at) % CELLS])
    }

    /// The memory that it takes, with what the allocator adds to each allocation.
    #[cfg(test)]
    fn memory(&self) -> usize {
        const OVERHEAD: usize = 16;
        let lines = self.changes.iter().filter_map(|change| change.line.as_ref());
        let lines: usize = lines.map(|line| line.len() + OVERHEAD).sum();
        size_of::<Self>()
            + self.results.capacity() * size_of::<PastResult>()
            + self.changes.capacity() * size_of::<Change>()
            + 3 * OVERHEAD
            + lines
    }
}

impl PastResult {
    /// How long its run took.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_micros(self.microseconds.into())
    }

    pub(crate) fn is_failure(&self) -> bool {
        self.failed_step.is_some()
    }
}

impl Change {
    /// How long the check had worked or failed before.
    pub(crate) fn lasted(&self) -> Duration {
        Duration::from_secs(self.lasted.into())
    }
}

impl Day {
    fn add(&mut self, is_failing: bool, now: Moment) {
        self.advance(now);
        let cell = &mut self.cells[self.newest as usize % CELLS];
        cell.runs = cell.runs.saturating_add(1);
        cell.failed = cell.failed.saturating_add(is_failing.into());
    }

    /// Empties the cells between the newest one and that of `now`.
    fn advance(&mut self, now: Moment) {
        let newest = now.seconds() / CELL_SECONDS;
        for passed in (self.newest..newest).take(CELLS) {
            self.cells[(passed as usize + 1) % CELLS] = Cell::default();
        }
        self.newest = self.newest.max(newest);
    }
}

/// Adds `item` in the place of the oldest, if there are `max`.
fn push<T>(items: &mut VecDeque<T>, item: T, max: usize) {
    if items.len() == max {
        items.pop_front();
    }
    items.push_back(item);
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// Cuts the middle out of a line that is too long.
fn shorten(line: &str) -> String {
    const ELLIPSIS: &str = "…";
    const TAIL: usize = MAX_LINE / 3;
    if line.len() <= MAX_LINE {
        return line.to_owned();
    }
    let head = line.floor_char_boundary(MAX_LINE - TAIL - ELLIPSIS.len());
    let tail = line.ceil_char_boundary(line.len() - TAIL);
    [&line[..head], ELLIPSIS, &line[tail..]].concat()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Instant;

    use super::super::run::RunResult;
    use super::*;

    const MAX_MEMORY: usize = 4096;

    fn outcome(failure: Option<&str>) -> Outcome {
        Outcome {
            failure: failure.map(Into::into),
            failed_step: failure.map(|_| "ask"),
            cause: 0,
            response_time: Duration::from_millis(2),
            completed: Instant::now(),
            result: RunResult::Working,
            blocks: false,
            seen_by: None,
        }
    }

    /// A history of results, each of which is a second of the process and a failure, if any.
    pub(crate) fn history(results: &[(u32, Option<&str>)]) -> Box<History> {
        let mut history = None;
        for (second, failure) in results {
            let steps =
                [("connect", Duration::from_micros(412)), ("ask", Duration::from_millis(1))];
            History::add(&mut history, &outcome(*failure), &steps, Moment::at(*second));
        }
        history.expect("a result")
    }

    /// The second, the line and the time before of each change.
    fn changes(history: &History) -> Vec<(u32, Option<&str>, u64)> {
        let change = |change: &Change| (change.at.seconds(), change.lasted().as_secs());
        let lines = history.changes().map(|change| change.line.as_deref());
        let times = history.changes().map(change);
        times.zip(lines).map(|((at, lasted), line)| (at, line, lasted)).collect()
    }

    #[test]
    fn a_history_never_takes_more_than_its_bound() {
        let line = "é".repeat(150);
        let mut results = Vec::new();
        for second in 0..3 * 86_400 / 300 {
            results.push((second * 300, (second % 2 == 0).then_some(line.as_str())));
        }
        let history = history(&results);
        assert_eq!(history.changes().len(), MAX_CHANGES);
        assert_eq!(history.results().len(), MAX_RESULTS);
        assert!(history.memory() <= MAX_MEMORY, "{} bytes", history.memory());
        assert!(history.memory() > MAX_MEMORY * 9 / 10, "{} bytes", history.memory());
    }

    #[test]
    fn a_history_without_failures_takes_what_the_bench_subtracts() {
        // `HISTORY` of the row `many` in `crates/bench`, in units of 0.1 kB.
        let memory = history(&[(1, None), (2, None)]).memory();
        assert_eq!((memory + 50) / 100, 18, "{memory} bytes");
    }

    #[test]
    fn later_results_never_displace_the_reason_of_a_failure() {
        let reason = "connect: connection refused (redis:6379)";
        let mut results = vec![(1, None), (10, Some(reason)), (70, None)];
        results.extend((100..100_000).step_by(7).map(|second| (second, None)));
        let history = history(&results);
        assert_eq!(changes(&history), [(70, None, 60), (10, Some(reason), 9)]);
        assert_eq!(history.since().seconds(), 70);
        assert!(!history.results().any(PastResult::is_failure));
    }

    #[test]
    fn a_check_that_fails_from_the_beginning_has_changed() {
        assert_eq!(changes(&history(&[(5, Some("a")), (9, Some("b"))])), [(5, Some("a"), 0)]);
        assert_eq!(changes(&history(&[(5, None)])), []);
    }

    #[test]
    fn a_transition_has_the_time_and_the_step_of_what_ends() {
        let mut history = None;
        let mut add = |second, failure| {
            History::add(&mut history, &outcome(failure), &[], Moment::at(second))
        };
        assert!(add(1, None).is_none());
        for (second, failure, since) in [(5, Some("a"), 1), (9, None, 5)] {
            let transition = add(second, failure).expect("a change");
            assert_eq!(transition.since.map(Moment::seconds), Some(since));
            assert_eq!(transition.step, Some("ask"));
            assert!(add(second, failure).is_none());
        }
    }

    #[test]
    fn a_day_has_a_cell_for_each_ten_minutes() {
        let history = history(&[(599, None), (600, Some("a")), (1199, None), (3000, None)]);
        let day = history.day(Moment::at(3600));
        let newest = |count| day[CELLS - count..].iter().map(|cell| (cell.runs, cell.failed));
        let expected = [(1, 0), (2, 1), (0, 0), (0, 0), (0, 0), (1, 0), (0, 0)];
        assert_eq!(newest(7).collect::<Vec<_>>(), expected);
        assert!(history.day(Moment::at(3600 + 86_400)).iter().all(|cell| cell.runs == 0));
    }

    #[test]
    fn a_long_line_keeps_its_step_and_its_target() {
        let line = format!("query: {} (db:5432)", "ö".repeat(200));
        let short = shorten(&line);
        assert!(short.len() <= MAX_LINE && short.len() > MAX_LINE - 8, "{short}");
        assert!(short.starts_with("query: ö") && short.ends_with("ö (db:5432)"), "{short}");
        assert_eq!(shorten("query: no (db:5432)"), "query: no (db:5432)");
    }

    #[test]
    fn the_step_in_which_a_run_ended_takes_no_longer_than_the_run() {
        let ms = Duration::from_millis;
        for (failure, steps, expected) in [
            (Some("no"), [("connect", ms(1)), ("ask", ms(3))], [1, 2]),
            (Some("no"), [("ask", ms(3)), ("connect", ms(1))], [2, 1]),
            (None, [("connect", ms(1)), ("write", ms(3))], [1, 2]),
            (None, [("wait for a turn", ms(9)), ("write", ms(1))], [9, 1]),
            (None, [("ping", ms(3)), ("connect", ms(1))], [2, 1]),
        ] {
            let mut history = None;
            History::add(&mut history, &outcome(failure), &steps, Moment::at(1));
            let history = history.expect("a result");
            let durations: Vec<_> = history.steps().map(|(_, duration)| duration).collect();
            assert_eq!(durations, expected.map(ms), "{steps:?}");
        }
    }

    #[test]
    fn the_steps_are_those_of_the_last_run() {
        let steps: Vec<_> = history(&[(1, None)]).steps().collect();
        let expected = [("connect", Duration::from_micros(412)), ("ask", Duration::from_millis(1))];
        assert_eq!(steps, expected);
    }
}
