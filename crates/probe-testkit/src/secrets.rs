//! Finds a secret in any form in which a probe might print it.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that a URL's user-info must encode.
const USER_INFO: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b':')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The secret itself, its URL encodings, its `Debug` form, and its bytes in hexadecimal digits.
pub(crate) fn forms(secret: &str) -> Vec<String> {
    let quoted = format!("{secret:?}");
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let mut forms = vec![
        secret.to_owned(),
        utf8_percent_encode(secret, USER_INFO).to_string(),
        encoded.to_lowercase(),
        encoded,
        quoted.trim_matches('"').to_owned(),
        data_encoding::HEXLOWER.encode(secret.as_bytes()),
    ];
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Whether `text` contains `secret` in any form.
pub(crate) fn contains(text: &str, secret: &str) -> bool {
    forms(secret).iter().any(|form| text.contains(form))
}

/// Replaces `secret`, in any form, by `other`.
pub(crate) fn replace(text: &str, secret: &str, other: &str) -> String {
    forms(secret).iter().fold(text.to_owned(), |text, form| text.replace(form, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_raw_encoded_and_quoted() {
        for text in
            ["no p@ss/w\"ord", "://me:p%40ss%2Fw%22ord@", "%40ss p%40ss%2fw%22ord", "p@ss/w\\\"ord"]
        {
            assert!(contains(text, "p@ss/w\"ord"), "{text}");
        }
        assert!(!contains("p@ss", "p@ss/w\"ord"));
    }
}
