//! JSON as Django REST framework writes it: the order of the keys kept, nothing but the necessary escaped.

use std::borrow::Cow;

/// As much of JSON as the answers need.
pub(crate) enum Json<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// An object, in the order of its keys.
    Object(Vec<(&'a str, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// A string.
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// The text, indented by so many spaces, or on one line without any if it is 0.
    pub(crate) fn write(&self, indent: usize) -> String {
        let mut writer = Writer { out: String::new(), indent, depth: 0 };
        writer.value(self);
        writer.out
    }
}

struct Writer {
    out: String,
    indent: usize,
    depth: usize,
}

impl Writer {
    fn value(&mut self, value: &Json<'_>) {
        match value {
            Json::Text(text) => self.string(text),
            Json::List(items) => self.block('[', items, Self::value, ']'),
            Json::Object(entries) => self.block('{', entries, Self::entry, '}'),
        }
    }

    fn entry(&mut self, (key, value): &(&str, Json<'_>)) {
        self.string(key);
        self.out.push_str(if self.indent == 0 { ":" } else { ": " });
        self.value(value);
    }

    fn block<T>(&mut self, open: char, items: &[T], write: fn(&mut Self, &T), close: char) {
        self.out.push(open);
        self.depth += 1;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.new_line();
            write(self, item);
        }
        self.depth -= 1;
        if !items.is_empty() {
            self.new_line();
        }
        self.out.push(close);
    }

    fn new_line(&mut self) {
        if self.indent > 0 {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', self.indent * self.depth));
        }
    }

    fn string(&mut self, text: &str) {
        // Nearly every text is written as it is.
        if !text.bytes().any(may_be_escaped) {
            self.out.extend(["\"", text, "\""]);
            return;
        }
        let quoted = serde_json::Value::from(text).to_string();
        // These two end a line in JavaScript, so that JSON which holds them would not be JavaScript.
        self.out.push_str(&quoted.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"));
    }
}

/// Whether a text that holds this byte may have to be written in another way: the last of these begins two separators of lines, among others.
fn may_be_escaped(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'\\' | 0xe2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_compact_or_indented() {
        let json = Json::Object(vec![
            ("b", Json::List(vec![Json::text("x"), Json::text("y")])),
            ("a", Json::Object(vec![])),
        ]);
        assert_eq!(json.write(0), r#"{"b":["x","y"],"a":{}}"#);
        let indented = "{\n  \"b\": [\n    \"x\",\n    \"y\"\n  ],\n  \"a\": {}\n}";
        assert_eq!(json.write(2), indented);
    }

    #[test]
    fn only_the_necessary_is_escaped() {
        let text = Json::text("ö \" \\ / \n \u{1} \u{7f} \u{2028}\u{2029}");
        let expected = "\"ö \\\" \\\\ / \\n \\u0001 \u{7f} \\u2028\\u2029\"";
        assert_eq!(text.write(0), expected);
    }

    proptest! {
        #[test]
        fn any_text_can_be_read_back(text: String, indent in 0_usize..9) {
            let json = Json::Object(vec![(text.as_str(), Json::text(text.as_str()))]).write(indent);
            let read: serde_json::Value = serde_json::from_str(&json)?;
            prop_assert_eq!(read.get(&text).and_then(|value| value.as_str()), Some(text.as_str()));
        }
    }
}
