//! What a backend must grant to the gateway, in pieces as small as the backend can grant them.
//!
//! Which pieces a check needs, the check knows; how a kind of backend is told to grant them, the crate that speaks its protocol. So `health-gateway permissions` prints what the checks of a configuration need, and knows no backend.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::Secret;

/// A kind of backend that lets nobody do more than was granted to him.
#[derive(Debug)]
pub struct GrantDialect {
    /// Its name, for instance `PostgreSQL`.
    pub name: &'static str,
    /// Writes what is granted to `user`, each permission in its words, as the backend's administrator gives it: whole lines.
    pub write: fn(user: &str, permissions: &BTreeSet<Vec<String>>) -> String,
}

/// Somebody on a server to whom something can be granted. It prints as in `Redis at cache:6379 for health`.
#[derive(Clone, Debug)]
pub struct Principal {
    dialect: &'static GrantDialect,
    server: String,
    user: String,
    distinguished_by: Option<Secret>,
}

/// One permission for one principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Who needs it.
    pub principal: Principal,
    /// The permission in the words of its dialect, which only the system's own `write` reads.
    pub permission: Vec<String>,
}

impl Principal {
    /// The user called `user` on `server`, written as an operator would. Neither may hold a secret.
    pub fn new(
        dialect: &'static GrantDialect,
        server: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        Self { dialect, server: server.into(), user: user.into(), distinguished_by: None }
    }

    /// The same, apart from others who look the same but have other credentials.
    #[must_use]
    pub fn distinguished_by(mut self, credentials: &Secret) -> Self {
        self.distinguished_by = Some(credentials.clone());
        self
    }

    /// This permission for this principal.
    pub fn needs<const N: usize>(&self, permission: [&str; N]) -> Grant {
        Grant { principal: self.clone(), permission: permission.map(str::to_owned).into() }
    }

    fn order(&self) -> (&str, &str, &str, Option<&str>) {
        let distinguished_by = self.distinguished_by.as_ref().map(Secret::expose);
        (self.dialect.name, &self.server, &self.user, distinguished_by)
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

/// The statements for each principal, with everything that any of `grants` gives him, each permission once.
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

    static DOORS: GrantDialect = GrantDialect {
        name: "Doors",
        write: |user, permissions| {
            let words = permissions.iter().map(|words| words.join(" "));
            format!("let {user} {}\n", words.collect::<Vec<_>>().join(", "))
        },
    };

    #[test]
    fn what_several_checks_need_of_one_server_is_written_once() {
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
    fn those_who_look_the_same_are_told_apart_by_their_credentials() {
        let somebody = Principal::new(&DOORS, "front", "somebody");
        let other = somebody.clone().distinguished_by(&Secret::new("another-key"));
        assert_ne!(somebody, other);
        assert_eq!(somebody.to_string(), other.to_string());
        assert_eq!(statements([somebody.needs(["open"]), other.needs(["open"])]).len(), 2);
    }
}
