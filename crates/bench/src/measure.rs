//! The arithmetic of the bench: medians, percentiles, spreads, and ratios with their noise.

use std::time::Duration;

/// The measured values of one side, block by block; the sides of a comparison have their blocks in turns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks(Vec<Vec<f64>>);

/// A value, and how far it is from being certain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    /// The noise; a bound is missed only by more than this.
    pub(crate) noise: f64,
}

impl Measured {
    /// A value that was counted, not measured.
    pub(crate) fn counted(value: impl Into<f64>) -> Self {
        Self { value: value.into(), noise: 0.0 }
    }

    /// The median of one value for each block; its noise is their median distance from it.
    pub(crate) fn of(values: &[f64]) -> Self {
        let value = median(values);
        let distances: Vec<_> = values.iter().map(|each| (each - value).abs()).collect();
        Self { value, noise: median(&distances) }
    }
}

impl Blocks {
    pub(crate) fn push(&mut self, block: Vec<f64>) {
        self.0.push(block);
    }

    /// One value for each block.
    pub(crate) fn each(&self, of: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        self.0.iter().map(|block| of(block)).collect()
    }

    /// All values together.
    pub(crate) fn all(&self) -> Vec<f64> {
        self.0.concat()
    }
}

/// The median ratio of two sides, block by block: whatever slows the machine for a while slows both.
pub(crate) fn ratio(side: &[f64], other: &[f64]) -> Measured {
    let ratios: Vec<_> = side.iter().zip(other).map(|(side, other)| side / other).collect();
    Measured::of(&ratios)
}

/// The value that half of them do not exceed.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The value that so many in a hundred do not exceed; zero if there are none.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// A duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A number of things as a value.
pub(crate) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let found = [50, 99, 100, 1].map(|percent| percentile(&values, percent).to_string());
        assert_eq!(found, ["3", "5", "5", "1"]);
        assert_eq!(percentile(&[], 50).to_string(), "0");
    }

    #[test]
    fn what_slows_both_sides_is_no_noise() {
        let (fast, slow) = ([1.0, 2.0, 4.0], [3.0, 6.0, 12.0]);
        assert_eq!(ratio(&slow, &fast), Measured { value: 3.0, noise: 0.0 });
    }

    #[test]
    fn noise_is_the_usual_distance_from_the_median() {
        assert_eq!(
            Measured::of(&[9.0, 10.0, 10.5, 12.0, 50.0]),
            Measured { value: 10.5, noise: 1.5 }
        );
    }
}
