//! libpq's password file: <https://www.postgresql.org/docs/current/libpq-pgpass.html>.

use std::path::PathBuf;

use probe::{Cause, Secret, read_private_file};
use tokio_postgres::Config;

use crate::endpoint::Endpoint;

/// The path. The file is read for each connection, as by libpq, so that a new password is used at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passfile(PathBuf);

impl Passfile {
    /// The file with this path, or `None` if that is empty, as in libpq.
    pub(crate) fn new(path: &str) -> Option<Self> {
        (!path.is_empty()).then(|| Self(path.into()))
    }

    /// The password for a login, or `None` if no line of the file is for it.
    pub(crate) async fn password(
        &self,
        endpoint: &Endpoint,
        config: &Config,
    ) -> Result<Option<Secret>, Cause> {
        let text = self.read().await?;
        let (host, port) = endpoint.passfile_names();
        let user = config.get_user().unwrap_or_default();
        let database = config.get_dbname().unwrap_or(user);
        let fields = [host.as_str(), &port, database, user];
        Ok(text.expose().lines().find_map(|line| password(line, fields)))
    }

    /// The whole file, which is a secret only in parts.
    pub(crate) async fn read(&self) -> Result<Secret, Cause> {
        // libpq ignores a file that others may access.
        let text = read_private_file(&self.0).await.map(Secret::unmasked);
        text.map_err(|cause| Cause::msg(format!("passfile: {}", cause.text())))
    }
}

/// The password of a line `host:port:database:user:password` if its fields are these, or `*`.
fn password(line: &str, fields: [&str; 4]) -> Option<Secret> {
    let mut rest = line.trim_end_matches('\r');
    if rest.starts_with('#') {
        return None;
    }
    for expected in fields {
        let (field, after) = split_field(rest)?;
        if field != expected && !(field == "*" && rest.starts_with("*:")) {
            return None;
        }
        rest = after;
    }
    Some(Secret::new(unescape(rest)))
}

/// Splits a line at its first `:` without a `\` before it. The field is returned without escapes.
fn split_field(text: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b':' if !escaped => return Some((unescape(&text[..at]), &text[at + 1..])),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next().or(Some('\\'))),
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<&str>) {
        let found = password(line, ["db", "5432", "app:1", "me"]);
        assert_eq!(found.as_ref().map(Secret::expose), expected, "{line}");
    }

    #[test]
    fn a_line_has_the_password_of_the_logins_that_its_fields_name() {
        check(r"db:5432:app\:1:me:secret", Some("secret"));
        check(r"*:*:*:*:a:b\:c\\d\", Some(r"a:b:c\d\"));
        check(r"db:*:app\:1:*:secret", Some("secret"));
        check("*:*:*:*:", Some(""));
        for other in [
            "DB:*:*:*:secret",
            "db:5433:*:*:secret",
            r"\*:*:*:*:secret",
            "d*:*:*:*:secret",
            "#*:*:*:*:secret",
            "*:*:*:secret",
            "",
        ] {
            check(other, None);
        }
    }
}
