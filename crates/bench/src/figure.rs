//! Figures with their bounds, formatted as a table and as JSON.

use serde_json::{Value, json};

use crate::measure::Measurement;

/// The bound that a figure must meet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// Whether a figure meets its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    /// Missed, but by no more than the noise.
    Noise,
    Missed,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) measured: Measurement,
    pub(crate) unit: &'static str,
    pub(crate) bound: Bound,
    /// The measured values, as text.
    pub(crate) detail: String,
}

impl Figure {
    pub(crate) fn verdict(&self) -> Verdict {
        let Measurement { value, noise } = self.measured;
        let (missed, beyond) = match self.bound {
            Bound::AtMost(most) => (value > most, value - noise > most),
            Bound::AtLeast(least) => (value < least, value + noise < least),
        };
        match (missed, beyond) {
            (false, _) => Verdict::Met,
            (true, false) => Verdict::Noise,
            (true, true) => Verdict::Missed,
        }
    }

    fn cells(&self) -> [String; 5] {
        let Measurement { value, noise } = self.measured;
        let unit = self.unit;
        let noise = if noise > 0.0 { format!(" ± {}", significant(noise)) } else { String::new() };
        let bound = match self.bound {
            Bound::AtMost(most) => format!("at most {most}{unit}"),
            Bound::AtLeast(least) => format!("at least {least}{unit}"),
        };
        let verdict = match self.verdict() {
            Verdict::Met => "reached",
            Verdict::Noise => "within the noise",
            Verdict::Missed => "MISSED",
        };
        let value = format!("{}{noise}{unit}", significant(value));
        [self.name.clone(), value, bound, verdict.to_owned(), self.detail.clone()]
    }

    fn json(&self) -> Value {
        let bound = match self.bound {
            Bound::AtMost(most) => json!({"at_most": most}),
            Bound::AtLeast(least) => json!({"at_least": least}),
        };
        let verdict = match self.verdict() {
            Verdict::Met => "reached",
            Verdict::Noise => "within the noise",
            Verdict::Missed => "missed",
        };
        json!({
            "figure": self.name, "value": self.measured.value, "noise": self.measured.noise,
            "unit": self.unit.trim(), "bound": bound, "verdict": verdict, "measured": self.detail,
        })
    }
}

/// Formats the figures in columns; the detail is last, because it is long.
pub(crate) fn table(figures: &[Figure]) -> String {
    let head = ["figure", "reached", "must reach", "", "measured"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths);
        let padded: Vec<_> = cells.map(|(cell, width)| format!("{cell:width$}  ")).collect();
        format!("{}{}\n", padded.concat(), row[4])
    };
    rows.iter().map(line).collect()
}

/// Formats the figures as JSON.
pub(crate) fn json(figures: &[Figure]) -> String {
    let figures: Vec<_> = figures.iter().map(Figure::json).collect();
    format!("{:#}\n", Value::from(figures))
}

/// Formats a value with three significant digits.
fn significant(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        large if large >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, noise: f64, bound: Bound, expected: Verdict) {
        let measured = Measurement { value, noise };
        let (name, unit, detail) = (String::new(), "×", String::new());
        assert_eq!(Figure { name, measured, unit, bound, detail }.verdict(), expected);
    }

    #[test]
    fn a_bound_is_missed_only_by_more_than_the_noise() {
        check(1.3, 0.1, Bound::AtMost(1.3), Verdict::Met);
        check(1.35, 0.1, Bound::AtMost(1.3), Verdict::Noise);
        check(1.45, 0.1, Bound::AtMost(1.3), Verdict::Missed);
        check(0.95, 0.0, Bound::AtLeast(0.9), Verdict::Met);
        check(0.85, 0.1, Bound::AtLeast(0.9), Verdict::Noise);
        check(0.75, 0.1, Bound::AtLeast(0.9), Verdict::Missed);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let figure = |name: &str, value| Figure {
            name: name.to_owned(),
            measured: Measurement { value, noise: 0.02 },
            unit: "×",
            bound: Bound::AtMost(1.3),
            detail: "all".to_owned(),
        };
        let expected = "figure  reached        must reach             measured\n\
                        a       1.25 ± 0.020×  at most 1.3×  reached  all\n\
                        longer  1.50 ± 0.020×  at most 1.3×  MISSED   all\n";
        assert_eq!(table(&[figure("a", 1.25), figure("longer", 1.5)]), expected);
    }
}
