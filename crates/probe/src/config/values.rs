//! The types of settings, and how each is read from a value.

use std::time::{Duration, SystemTime};

use super::{Node, Value};
use crate::{Failure, Secret};

/// Why a value could not be read.
#[derive(Clone, Debug)]
pub enum ValueError {
    /// It is wrong. The text says what would be right, without quoting it.
    Wrong(String),
    /// It is not known yet; see [`Value::Unknown`].
    Unknown(Failure),
}

impl ValueError {
    /// A value of another type than `what`.
    pub fn expected(what: &str, found: &Value) -> Self {
        Self::Wrong(format!("expected {what}, found {}", found.kind()))
    }
}

impl From<String> for ValueError {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

/// A type that a setting can have.
pub trait FromNode: Sized {
    /// Reads a value.
    fn from_node(node: &Node) -> Result<Self, ValueError>;

    /// Whether it has a secret that cannot be masked, which causes a note.
    fn unmaskable(&self) -> bool {
        false
    }
}

impl FromNode for String {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::String(text) => Ok(text.clone()),
            Value::Unknown(failure) => Err(ValueError::Unknown(failure.clone())),
            other => Err(ValueError::expected("a string", other)),
        }
    }
}

impl FromNode for Secret {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        String::from_node(node).map(Self::new)
    }

    fn unmaskable(&self) -> bool {
        self.is_unmaskable()
    }
}

impl FromNode for bool {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::Boolean(flag) => Ok(*flag),
            other => Err(ValueError::expected("`true` or `false`", other)),
        }
    }
}

impl FromNode for u64 {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::Integer(number) => Self::try_from(*number)
                .map_err(|_| ValueError::Wrong("expected a number of at least 0".to_owned())),
            other => Err(ValueError::expected("a whole number", other)),
        }
    }
}

impl FromNode for u16 {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        Self::try_from(u64::from_node(node)?)
            .map_err(|_| ValueError::Wrong(format!("expected a number of at most {}", Self::MAX)))
    }
}

/// A whole number with one of the units `ms`, `s`, `m`, `h` and `d`.
impl FromNode for Duration {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        let wrong = || "expected a duration such as `250ms`, `3s`, `5m` or `1h`".to_owned();
        let Value::String(text) = &node.value else {
            return Err(String::from_node(node).map_or_else(
                |error| match error {
                    ValueError::Wrong(_) => {
                        ValueError::Wrong(format!("{}, found {}", wrong(), node.value.kind()))
                    }
                    unknown @ ValueError::Unknown(_) => unknown,
                },
                |_| wrong().into(),
            ));
        };
        let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit);
        let milliseconds = match unit.trim_start() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong().into()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(milliseconds).map(Self::from_millis).ok_or_else(|| wrong().into())
    }
}

/// A date and time with an offset from UTC, so that it is the same everywhere.
impl FromNode for SystemTime {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::DateTime(at) => Ok(*at),
            other => {
                let what = "a date and time with an offset, such as 2030-01-31T04:00:00+01:00";
                Err(ValueError::expected(what, other))
            }
        }
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::Array(items) => items.iter().map(T::from_node).collect(),
            other => Err(ValueError::expected("an array", other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Option<Duration> {
        Duration::from_node(&Node { line: 1, value: Value::String(text.into()) }).ok()
    }

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("3 s"), Some(Duration::from_secs(3)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        assert_eq!(duration("14d"), Some(Duration::from_hours(14 * 24)));
        for wrong in [
            "",
            "3",
            "s",
            "-1s",
            "1.5s",
            "3 days",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
