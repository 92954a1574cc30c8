//! Quotes identifiers and strings for SQL.

/// Quotes the name of a database, a table or a column.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", escaped(name, '`'))
}

/// Quotes a string.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", escaped(text, '\''))
}

fn escaped(text: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == quote || letter == '\\' {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(name(r"a`b\"), r"`a\`b\\`");
        assert_eq!(text(r"a'b\` c"), r"'a\'b\\` c'");
    }
}
