//! Headers that are lists: split where a separator stands, but not within quotes.

use std::borrow::Cow;

/// The trimmed parts of a text between its separators.
pub(super) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut previous = separator;
    let part = text.split(move |c| {
        quoted ^= c == '"' && previous != '\\';
        previous = c;
        c == separator && !quoted
    });
    part.map(str::trim)
}

/// A value without its quotes, if it has any.
pub(super) fn unquote(value: &str) -> Cow<'_, str> {
    match value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\\", "\\").replace("\\\"", "\"").into(),
        None => value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_within_quotes_separates_nothing() {
        let parts: Vec<_> = split(r#"a ; b=";" ;c="\";" ; ;d"#, ';').collect();
        assert_eq!(parts, ["a", r#"b=";""#, r#"c="\";""#, "", "d"]);
    }

    #[test]
    fn quotes_come_off_in_pairs() {
        for (value, expected) in
            [("x", "x"), (r#""x""#, "x"), (r#"""#, r#"""#), (r#""\"\\""#, r#""\"#)]
        {
            assert_eq!(unquote(value), expected);
        }
    }
}
