//! Judges whether a series of samples grows.

use crate::figure::{Bound, Figure};
use crate::measure::{Measurement, median};

/// The samples of one count.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// How much the count may vary without a leak, since it depends on the current faults.
    pub(super) allowance: f64,
    pub(super) values: Vec<f64>,
}

impl Series {
    /// Compares the median of the last quarter with that of the second one.
    ///
    /// The first quarter is the warm-up: caches fill and every path is taken for the first time.
    /// A median is not affected by the moments in which many requests wait for a silent server.
    /// Half of the run lies between the two quarters, so a leak is found if it exceeds the allowance in that time.
    pub(super) fn figure(&self) -> Figure {
        let quarters = [0, 1, 2, 3].map(|quarter| median(self.quarter(quarter)));
        let [first, second, third, last] = quarters;
        let most = self.values.iter().copied().fold(0.0, f64::max);
        Figure {
            name: self.name.to_owned(),
            measured: Measurement::exact(last),
            unit: self.unit,
            bound: Bound::AtMost(round(second + self.allowance)),
            detail: format!(
                "medians of the quarters {first:.1}, {second:.1}, {third:.1}, {last:.1}; maximum {most:.1}"
            ),
        }
    }

    fn quarter(&self, quarter: usize) -> &[f64] {
        let count = self.values.len();
        &self.values[count * quarter / 4..count * (quarter + 1) / 4]
    }
}

/// Rounds to one decimal place, as the table shows it.
fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Verdict;
    use crate::measure::number;

    fn check(value: impl Fn(usize) -> f64, expected: Verdict) {
        let values = (0..360).map(value).collect();
        let series = Series { name: "files", unit: "", allowance: 5.0, values };
        assert_eq!(series.figure().verdict(), expected, "{:?}", series.figure());
    }

    /// Values that vary, as with requests that wait for a silent server.
    fn wave(at: usize) -> f64 {
        number((at * 7919) % 40)
    }

    #[test]
    fn a_steady_series_does_not_grow_whatever_its_peaks() {
        check(|_| 40.0, Verdict::Met);
        check(wave, Verdict::Met);
        check(|at| if at % 20 == 19 { 4000.0 } else { 40.0 }, Verdict::Met);
    }

    #[test]
    fn a_warm_up_is_not_growth() {
        check(|at| number(at.min(80)), Verdict::Met);
    }

    #[test]
    fn a_leak_beyond_the_allowance_is_growth_even_below_the_peaks() {
        check(|at| 40.0 + number(at) / 25.0, Verdict::Missed);
        check(|at| wave(at) + number(at) / 20.0, Verdict::Missed);
        check(|at| if at > 270 { 46.0 } else { 40.0 }, Verdict::Missed);
    }
}
