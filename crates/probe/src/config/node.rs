//! The values of a configuration file, each with its line.

use std::fmt;
use std::time::{Duration, SystemTime};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_datetime::{Datetime, Offset};
use zeroize::Zeroize as _;

use crate::Failure;

/// A value and its line.
#[derive(Clone, Debug)]
pub struct Node {
    /// The line in the file, counted from 1.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// A value in a configuration file.
#[derive(Clone)]
pub enum Value {
    /// A string in which references have been replaced.
    String(String),
    /// A string with a reference that cannot be resolved yet, and the reason, such as a Vault that is down.
    Unknown(Failure),
    /// A whole number.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// A date and time with an offset from UTC.
    DateTime(SystemTime),
    /// A list.
    Array(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<(String, Node)>),
    /// A value of a TOML type that no setting has, by the name of the type.
    Other(&'static str),
}

impl Value {
    /// The type with its article, for messages that must not quote the value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) | Self::Unknown(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::DateTime(_) => "a date and time",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Prints only the type, since any value may be a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// An error in a configuration file: where it is and what would be right. It never quotes a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line in the file, counted from 1.
    pub line: usize,
    /// The path of the key, such as `cache.data`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.line, self.message),
            key => write!(f, "{}: {key}: {}", self.line, self.message),
        }
    }
}

impl Node {
    /// Parses TOML. Returns all syntax errors, not just the first.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { line: 1, value: from_table(table.into_inner(), &lines) });
        }
        let diagnostic = |error: &toml::de::Error| Diagnostic {
            line: lines.number(error.span().map_or(text.len(), |span| span.start)),
            key: String::new(),
            // `Display` would print the source line, which may contain a secret.
            message: error.message().replace('\n', ", "),
        };
        Err(errors.iter().map(diagnostic).collect())
    }

    /// Overwrites all strings, which may be secrets.
    pub fn wipe(&mut self) {
        match &mut self.value {
            Value::String(text) => text.zeroize(),
            Value::Array(items) => items.iter_mut().for_each(Self::wipe),
            Value::Table(entries) => entries.iter_mut().for_each(|(_, entry)| entry.wipe()),
            _ => {}
        }
    }

    /// The entries, if this is a table.
    pub fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The value under `key`, if this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }
}

fn from_table(table: DeTable<'_>, lines: &Lines) -> Value {
    let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        // The line of the key, since the span of a table may begin elsewhere.
        let line = lines.number(key.span().start);
        let key: std::borrow::Cow<'_, str> = key.into_inner();
        (key.into_owned(), Node { line, value: from_value(value.into_inner(), lines) })
    };
    Value::Table(table.into_iter().map(entry).collect())
}

fn from_value(value: DeValue<'_>, lines: &Lines) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("an integer out of range"), Value::Integer),
        DeValue::Float(_) => Value::Other("a float"),
        DeValue::Datetime(date_time) => system_time(date_time)
            .map_or(Value::Other("a date or a time without an offset"), Value::DateTime),
        DeValue::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| Node {
                    line: lines.number(item.span().start),
                    value: from_value(item.into_inner(), lines),
                })
                .collect(),
        ),
        DeValue::Table(table) => from_table(table, lines),
    }
}

/// The time that a date and time with an offset means, or `None` without one of the three.
fn system_time(Datetime { date, time, offset }: Datetime) -> Option<SystemTime> {
    let (date, time) = (date?, time?);
    let offset_minutes = match offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => minutes,
    };
    let minutes = i64::from(time.hour) * 60 + i64::from(time.minute) - i64::from(offset_minutes);
    let days = days_since_epoch(date.year.into(), date.month.into(), date.day.into());
    let seconds = days * 86_400 + minutes * 60 + i64::from(time.second.unwrap_or_default());
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

/// The days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that a leap day is the last day of its year.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + leap_days + day_of_year - 719_468
}

/// The positions of a text's line ends.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|&end| end < offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_diagnostics(text: &str, expected: &[&str]) {
        let diagnostics = Node::parse(text).expect_err("this is no TOML");
        let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn every_value_has_its_line() {
        let node = Node::parse("a = 1\n[b]\nc = [\n  true,\n  'x',\n]\n").expect("this is TOML");
        let c = node.get("b").and_then(|b| b.get("c")).expect("b.c exists");
        let Value::Array(items) = &c.value else { panic!("an array") };
        assert_eq!((c.line, items[0].line, items[1].line), (3, 4, 5));
    }

    #[test]
    fn a_syntax_error_has_its_line_and_quotes_nothing() {
        check_diagnostics(
            "ok = 1\nurl = \"redis://:hunter2@cache\nmore = 2\n",
            &["2: invalid basic string, expected `\"`"],
        );
    }

    fn date_time(text: &str) -> Option<u64> {
        let node = Node::parse(&format!("at = {text}\n")).expect("this is TOML");
        match node.get("at")?.value {
            Value::DateTime(at) => Some(at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()),
            _ => None,
        }
    }

    #[test]
    fn a_date_and_time_with_an_offset_is_a_time() {
        // As `date --date=... +%s` prints them.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:30:00Z", 951_827_400),
            ("2026-03-01T00:00:00Z", 1_772_323_200),
            ("2026-11-30T04:00:00+01:00", 1_796_007_600),
            ("2026-11-29T22:00:00.5-05:00", 1_796_007_600),
            ("2100-03-01 00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(date_time(text), Some(expected), "{text}");
        }
        for local in ["2026-11-30", "04:00:00", "2026-11-30T04:00:00"] {
            assert_eq!(date_time(local), None, "{local}");
        }
    }

    #[test]
    fn a_value_prints_as_its_type() {
        assert_eq!(format!("{:?}", Value::String("hunter2".into())), "a string");
    }
}
