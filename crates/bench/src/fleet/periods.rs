//! The times in which a process did not work.

use std::time::Instant;

use parking_lot::Mutex;

/// Periods of time, of which the last may not have ended.
#[derive(Debug, Default)]
pub(super) struct Periods(Mutex<Vec<(Instant, Option<Instant>)>>);

impl Periods {
    /// Begins a period.
    pub(super) fn begin(&self) {
        self.0.lock().push((Instant::now(), None));
    }

    /// Ends the last period.
    pub(super) fn end(&self) {
        if let Some((_, end)) = self.0.lock().last_mut() {
            *end = Some(Instant::now());
        }
    }

    /// Whether a period overlaps with the time between two moments.
    pub(super) fn touch(&self, from: Instant, to: Instant) -> bool {
        let is_after = |end: Option<Instant>| end.is_none_or(|end| end >= from);
        self.0.lock().iter().any(|(begin, end)| *begin <= to && is_after(*end))
    }

    /// Whether a period contains all the time between two moments.
    pub(super) fn cover(&self, from: Instant, to: Instant) -> bool {
        let is_after = |end: Option<Instant>| end.is_none_or(|end| end >= to);
        self.0.lock().iter().any(|(begin, end)| *begin <= from && is_after(*end))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_period_covers_what_it_contains_and_touches_what_it_overlaps() {
        let (periods, before) = (Periods::default(), Instant::now());
        thread::sleep(Duration::from_millis(1));
        periods.begin();
        let within = Instant::now();
        assert!(periods.touch(before, within) && periods.cover(within, within));
        assert!(!periods.cover(before, within));
        periods.end();
        let after = Instant::now() + Duration::from_secs(1);
        assert!(periods.touch(within, after) && !periods.cover(within, after));
        assert!(!periods.touch(after, after));
    }
}
