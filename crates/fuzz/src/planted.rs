//! The planted secret, and the search for it in texts.

/// The secret. No part of it with [`PART`] characters occurs in any other text.
pub(crate) const SECRET: &str = "Qx7Zk9Wv3Jq";
/// The placeholder for the secret in a kept input.
pub(crate) const PLACEHOLDER: &str = "{S}";
/// The length of a part of the secret that counts as a leak.
const PART: usize = 4;

/// The first output with a part of the secret, in any case.
pub(crate) fn leak<'a>(outputs: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let secret = SECRET.to_ascii_lowercase();
    let parts: Vec<_> = (0..=secret.len() - PART).map(|at| &secret[at..at + PART]).collect();
    outputs.into_iter().find(|output| {
        let output = output.to_ascii_lowercase();
        parts.iter().any(|part| output.contains(part))
    })
}

/// Whether the placeholder in this URL is where a secret belongs: in the password, or in a parameter that is named like one.
///
/// The URL is read as an operator reads it, and not as a parser does.
pub(crate) fn is_secret_in_url(url: &str) -> bool {
    let Some((before, after)) = url.split_once(PLACEHOLDER) else { return false };
    if after.contains(PLACEHOLDER) {
        return false;
    }
    in_password(before, after) || in_parameter(before)
}

/// Whether the text between these is within `scheme://user:...@`.
fn in_password(before: &str, after: &str) -> bool {
    let Some((scheme, user_info)) = before.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let Some((user, password)) = user_info.split_once(':') else { return false };
    // `host:80/path` and `[::1]` are no user-info, whatever follows.
    let end = password.find(['/', '?', '#']).unwrap_or(password.len());
    let looks_like_port =
        end < password.len() && password[..end].bytes().all(|byte| byte.is_ascii_digit());
    is_scheme
        && !user.contains(['/', '?', '#', '@', '[', ','])
        && !password.contains(['@', ','])
        && !looks_like_port
        && after.contains('@')
        && !before.contains(char::is_whitespace)
}

/// Whether the text after this is the value of a parameter with the name of a secret.
fn in_parameter(before: &str) -> bool {
    let Some((base, query)) = before.split_once('?') else { return false };
    let Some((name, _)) = query.rsplit('&').next().and_then(|last| last.split_once('=')) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    let is_named = ["password", "passwd", "secret", "token"].iter().any(|it| name == *it);
    is_named && base.contains("://") && !before.contains(['#', ',', ';'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_secret_in_any_case_is_a_leak() {
        assert_eq!(leak(["fine", "at qx7zk: no"]), Some("at qx7zk: no"));
        assert_eq!(leak(["Qx7", "Jq"]), None);
    }

    #[test]
    fn a_secret_is_where_an_operator_would_see_one() {
        for secret in [
            "redis://u:{S}@h",
            "redis://:a/{S}@h/1",
            "postgres://u:a?{S}b@h/app",
            "postgres://h/app?user=x@y&password={S}",
        ] {
            assert!(is_secret_in_url(secret), "{secret}");
        }
        for public in ["redis://h/{S}", "http://h:80/{S}/x@y", "redis://u@{S}", "{S}"] {
            assert!(!is_secret_in_url(public), "{public}");
        }
    }
}
