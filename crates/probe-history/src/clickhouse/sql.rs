//! Names and texts as SQL quotes them.

/// The name of a database, a table or a column.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", escaped(name, '`'))
}

/// A text.
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
    fn no_name_and_no_text_ends_its_quotes() {
        assert_eq!(name(r"a`b\"), r"`a\`b\\`");
        assert_eq!(text(r"a'b\` c"), r"'a\'b\\` c'");
    }
}
