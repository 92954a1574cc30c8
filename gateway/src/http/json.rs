//! JSON as Django REST framework writes it: ordered keys, minimal escaping.

use std::io::{self, Write};
use std::time::Duration;

use probe::Checks;
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use serde_json::ser::Formatter;

use crate::report::{CheckResult, ComponentResult, Report};

/// Returns `value` as JSON, indented by `indent` spaces, or on one line without spaces if it is 0.
pub(crate) fn to_json(value: &impl Serialize, indent: usize) -> String {
    let mut json = Vec::new();
    let formatter = RestFrameworkFormatter { indent, depth: 0, is_empty: true };
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, formatter);
    let written = value.serialize(&mut serializer);
    match written.map(|()| String::from_utf8(json)) {
        Ok(Ok(json)) => json,
        other => unreachable!("texts and text keys are JSON: {other:?}"),
    }
}

/// The layout of Django REST framework's `JSONRenderer`.
struct RestFrameworkFormatter {
    indent: usize,
    depth: usize,
    /// Whether nothing has been written since the last opening bracket.
    is_empty: bool,
}

impl RestFrameworkFormatter {
    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.is_empty = true;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !std::mem::replace(&mut self.is_empty, false) {
            self.start_line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn separate<W: ?Sized + Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.is_empty = false;
        if !is_first {
            writer.write_all(b",")?;
        }
        self.start_line(writer)
    }

    fn start_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        if self.indent == 0 {
            return Ok(());
        }
        write!(writer, "\n{:width$}", "", width = self.indent * self.depth)
    }
}

impl Formatter for RestFrameworkFormatter {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(if self.indent == 0 { b":" } else { b": " })
    }

    /// U+2028 and U+2029 end a line in JavaScript, so JSON that contains them would not be JavaScript.
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_separator = |c: char| matches!(c, '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some((at, separator)) = rest.char_indices().find(|(_, c)| is_separator(*c)) {
            write!(writer, "{}\\u{:04x}", &rest[..at], u32::from(separator))?;
            rest = &rest[at + separator.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let components = self.components.iter();
        serializer
            .collect_map(components.map(|(name, results)| (name, SerializeComponent(results))))
    }
}

/// A component's results: its only one, or each under its name.
struct SerializeComponent<'a>(&'a ComponentResult);

impl Serialize for SerializeComponent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Checks::Single(result) => result.serialize(serializer),
            Checks::Group(results) => {
                serializer.collect_map(results.iter().map(|(name, result)| (name.as_str(), result)))
            }
        }
    }
}

impl Serialize for CheckResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut result = serializer.serialize_struct("CheckResult", 2)?;
        result.serialize_field("status", &self.status)?;
        result.serialize_field("response_time", &seconds(self.response_time))?;
        result.end()
    }
}

/// Returns decimal seconds, to the microsecond.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn json_is_compact_or_indented() {
        let value = json!({"a": {"b": ["x", "y"]}, "c": {}, "d": [], "e": [[]]});
        assert_eq!(to_json(&value, 0), value.to_string());
        assert_eq!(to_json(&value, 2), serde_json::to_string_pretty(&value).expect("JSON"));
        assert_eq!(to_json(&json!({"a": "b"}), 8), "{\n        \"a\": \"b\"\n}");
    }

    #[test]
    fn only_necessary_characters_are_escaped() {
        let text = "ö \" \\ / \n \u{1} \u{7f} \u{2028}\u{2029}\u{2029}\u{2030}";
        let expected = "\"ö \\\" \\\\ / \\n \\u0001 \u{7f} \\u2028\\u2029\\u2029\u{2030}\"";
        assert_eq!(to_json(&text, 0), expected);
    }

    #[test]
    fn a_report_keeps_its_order() {
        let result = |status: &str| CheckResult {
            status: status.to_owned(),
            response_time: Duration::from_micros(412),
        };
        let name = |name| probe::CheckName::new(name).expect("a name");
        let group = vec![(name("z"), result("1")), (name("a"), result("2"))];
        let components = vec![
            ("y".to_owned(), ComponentResult::Group(group)),
            ("b".to_owned(), ComponentResult::Single(result("3"))),
            ("empty".to_owned(), ComponentResult::Group(vec![])),
        ];
        let components = std::sync::Arc::new(components.into());
        let report = Report { components, age: None, has_critical_failure: true };
        let time = r#""response_time":"0.000412""#;
        let expected = format!(
            r#"{{"y":{{"z":{{"status":"1",{time}}},"a":{{"status":"2",{time}}}}},"b":{{"status":"3",{time}}},"empty":{{}}}}"#
        );
        assert_eq!(to_json(&report, 0), expected);
    }

    #[test]
    fn a_response_time_is_decimal_seconds() {
        assert_eq!(seconds(Duration::from_micros(412)), "0.000412");
        assert_eq!(seconds(Duration::from_nanos(3_000_999_999)), "3.000999");
    }

    proptest! {
        #[test]
        fn any_text_can_be_read_back(text: String, indent in 0_usize..9) {
            let json = to_json(&json!({&text: &text}), indent);
            let read: Value = serde_json::from_str(&json)?;
            prop_assert_eq!(read.get(&text).and_then(Value::as_str), Some(text.as_str()));
        }
    }
}
