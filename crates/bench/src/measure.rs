//! Medians, percentiles and ratios with their noise.

use std::time::Duration;

/// The measured values of one contender, in blocks. The contenders of a comparison run alternately, in blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks(Vec<Vec<f64>>);

/// A value with its noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measurement {
    pub(crate) value: f64,
    /// A bound is missed only by more than this.
    pub(crate) noise: f64,
}

impl Measurement {
    /// An exact value, without noise.
    pub(crate) fn exact(value: impl Into<f64>) -> Self {
        Self { value: value.into(), noise: 0.0 }
    }

    /// The median of the values, with their median absolute deviation as noise.
    pub(crate) fn median_of(values: &[f64]) -> Self {
        let value = median(values);
        let deviations: Vec<_> = values.iter().map(|other| (other - value).abs()).collect();
        Self { value, noise: median(&deviations) }
    }
}

impl Blocks {
    pub(crate) fn push(&mut self, block: Vec<f64>) {
        self.0.push(block);
    }

    /// Returns one value for each block.
    pub(crate) fn per_block(&self, statistic: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        self.0.iter().map(|block| statistic(block)).collect()
    }

    /// Returns the values of all blocks.
    pub(crate) fn all(&self) -> Vec<f64> {
        self.0.concat()
    }
}

/// Returns the median of the blocks' ratios, because a temporary slowdown of the machine affects both values of a block.
pub(crate) fn ratio(values: &[f64], reference: &[f64]) -> Measurement {
    let ratios: Vec<_> =
        values.iter().zip(reference).map(|(value, reference)| value / reference).collect();
    Measurement::median_of(&ratios)
}

/// Returns the median.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// Returns a percentile by the nearest-rank method; zero if there are no values.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// Returns statistics of times in milliseconds as text.
pub(crate) fn times(values: &[f64]) -> String {
    let [median, most_99, most] = [50, 99, 100].map(|percent| percentile(values, percent));
    format!(
        "within {median:.0} ms (median), {most_99:.0} ms (99th percentile), {most:.0} ms (maximum)"
    )
}

/// Returns a duration in milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Returns a number of bytes in megabytes, to a thousandth.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    number(usize::try_from(bytes / 1000).unwrap_or(usize::MAX)) / 1000.0
}

/// Converts a count to a value.
pub(crate) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let percentiles = [50, 99, 100, 1].map(|percent| percentile(&values, percent).to_string());
        assert_eq!(percentiles, ["3", "5", "5", "1"]);
        assert_eq!(percentile(&[], 50).to_string(), "0");
    }

    #[test]
    fn a_slowdown_of_both_values_is_not_noise() {
        let (fast, slow) = ([1.0, 2.0, 4.0], [3.0, 6.0, 12.0]);
        assert_eq!(ratio(&slow, &fast), Measurement { value: 3.0, noise: 0.0 });
    }

    #[test]
    fn noise_is_the_median_absolute_deviation() {
        assert_eq!(
            Measurement::median_of(&[9.0, 10.0, 10.5, 12.0, 50.0]),
            Measurement { value: 10.5, noise: 1.5 }
        );
    }
}
