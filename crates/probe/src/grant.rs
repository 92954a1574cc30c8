//! Permissions that backends must grant to the gateway.
//!
//! A check lists the permissions that it needs, and the crate that speaks a backend's protocol writes the statements that grant them. `health-gateway permissions` combines the two without knowing any backend.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::Fingerprint;

/// The language of the statements that grant permissions on one kind of backend.
#[derive(Debug)]
pub struct GrantDialect {
    /// The backend's name, such as `PostgreSQL`.
    pub name: &'static str,
    /// Writes the statements that grant `permissions` to `user`, as whole lines that an administrator can run.
    pub write: fn(user: &str, permissions: &BTreeSet<Vec<String>>) -> String,
}

/// A user on a server. Prints as in `Redis at cache:6379 for health`.
#[derive(Clone, Debug)]
pub struct Principal {
    dialect: &'static GrantDialect,
    server: String,
    user: String,
    distinguished_by: Option<Fingerprint>,
}

/// One permission for one principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The user that needs it.
    pub principal: Principal,
    /// The permission as words that only [`GrantDialect::write`] of the same dialect interprets.
    pub permission: Vec<String>,
}

impl Principal {
    /// The user `user` on `server`. Neither may contain a secret.
    pub fn new(
        dialect: &'static GrantDialect,
        server: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        Self { dialect, server: server.into(), user: user.into(), distinguished_by: None }
    }

    /// Distinguishes this principal by its `credentials` from one that prints the same.
    #[must_use]
    pub fn distinguished_by(mut self, credentials: Fingerprint) -> Self {
        self.distinguished_by = Some(credentials);
        self
    }

    /// The grant of `permission` to this principal.
    pub fn needs<const N: usize>(&self, permission: [&str; N]) -> Grant {
        Grant { principal: self.clone(), permission: permission.map(str::to_owned).into() }
    }

    fn order(&self) -> (&str, &str, &str, Option<Fingerprint>) {
        (self.dialect.name, &self.server, &self.user, self.distinguished_by)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} for {}", self.dialect.name, self.server, self.user)
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Principal {}

impl PartialOrd for Principal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Principal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

/// The statements for each principal, with each of its permissions once.
pub fn statements(grants: impl IntoIterator<Item = Grant>) -> BTreeMap<Principal, String> {
    let mut principals: BTreeMap<Principal, BTreeSet<Vec<String>>> = BTreeMap::new();
    for Grant { principal, permission } in grants {
        principals.entry(principal).or_default().insert(permission);
    }
    let write = |(principal, permissions): (Principal, _)| {
        let text = (principal.dialect.write)(&principal.user, &permissions);
        (principal, text)
    };
    principals.into_iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    static DOORS: GrantDialect = GrantDialect {
        name: "Doors",
        write: |user, permissions| {
            let words = permissions.iter().map(|words| words.join(" "));
            format!("let {user} {}\n", words.collect::<Vec<_>>().join(", "))
        },
    };

    #[test]
    fn a_permission_that_several_checks_need_is_written_once() {
        let (front, back) =
            (Principal::new(&DOORS, "front", "me"), Principal::new(&DOORS, "back", "me"));
        let grants =
            [front.needs(["open"]), back.needs(["close", "softly"]), front.needs(["close"])];
        let again = grants.clone();
        let written = statements(grants.into_iter().chain(again));
        let written: Vec<_> = written
            .iter()
            .map(|(principal, text)| (principal.to_string(), text.as_str()))
            .collect();
        assert_eq!(
            written,
            [
                ("Doors at back for me".to_owned(), "let me close softly\n"),
                ("Doors at front for me".to_owned(), "let me close, open\n"),
            ]
        );
    }

    #[test]
    fn principals_that_print_the_same_are_distinguished_by_their_credentials() {
        let application = Principal::new(&DOORS, "front", "application");
        let key = Secret::new("another-key");
        let other = application.clone().distinguished_by(Fingerprint::of(&key));
        assert_ne!(application, other);
        assert_eq!(application.to_string(), other.to_string());
        assert_eq!(statements([application.needs(["open"]), other.needs(["open"])]).len(), 2);
    }
}
