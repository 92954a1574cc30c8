//! Counts in error texts.

/// A number with its noun: `1 message`, `2 messages`.
pub fn count(number: u64, singular: &str, plural: &str) -> String {
    format!("{number} {}", if number == 1 { singular } else { plural })
}
