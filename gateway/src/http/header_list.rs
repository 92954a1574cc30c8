//! Splits the values of headers that are lists, and removes quotes.

use std::borrow::Cow;

/// Returns the trimmed parts of a text between its separators, except those within quotes.
pub(crate) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut previous = separator;
    let part = text.split(move |c| {
        quoted ^= c == '"' && previous != '\\';
        previous = c;
        c == separator && !quoted
    });
    part.map(str::trim)
}

/// Returns a value without its quotes, if it has a pair.
pub(crate) fn unquote(value: &str) -> Cow<'_, str> {
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
    fn only_a_pair_of_quotes_is_removed() {
        for (value, expected) in
            [("x", "x"), (r#""x""#, "x"), (r#"""#, r#"""#), (r#""\"\\""#, r#""\"#)]
        {
            assert_eq!(unquote(value), expected);
        }
    }
}
