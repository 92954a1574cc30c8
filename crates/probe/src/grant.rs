//! What a backend must grant to the gateway, in pieces as small as the backend can grant them.
//!
//! Which pieces a check needs, the check knows; how a kind of backend is told to grant them, the crate that speaks its protocol. So `health-gateway permissions` prints what the checks of a configuration need, and knows no backend.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::Secret;

/// A kind of backend that lets nobody do more than was granted to him.
#[derive(Debug)]
pub struct System {
    /// Its name, for instance `PostgreSQL`.
    pub name: &'static str,
    /// Writes what is granted to `user`, each permission in its words, as the backend's administrator gives it: whole lines.
    pub write: fn(user: &str, permissions: &BTreeSet<Vec<String>>) -> String,
}

/// Somebody on a server to whom something can be granted. It prints as in `Redis at cache:6379 for health`.
#[derive(Clone, Debug)]
pub struct Holder {
    system: &'static System,
    server: String,
    user: String,
    apart: Option<Secret>,
}

/// One permission for one holder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Who needs it.
    pub holder: Holder,
    /// The permission in the words of its system, which only the system's own `write` reads.
    pub permission: Vec<String>,
}

impl Holder {
    /// The user called `user` on `server`, written as an operator would. Neither may hold a secret.
    pub fn new(
        system: &'static System,
        server: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        Self { system, server: server.into(), user: user.into(), apart: None }
    }

    /// The same, apart from others who look the same but have other credentials.
    #[must_use]
    pub fn apart(mut self, credentials: &Secret) -> Self {
        self.apart = Some(credentials.clone());
        self
    }

    /// This permission for this holder.
    pub fn needs<const N: usize>(&self, permission: [&str; N]) -> Grant {
        Grant { holder: self.clone(), permission: permission.map(str::to_owned).into() }
    }

    fn order(&self) -> (&str, &str, &str, Option<&str>) {
        let apart = self.apart.as_ref().map(Secret::expose);
        (self.system.name, &self.server, &self.user, apart)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} for {}", self.system.name, self.server, self.user)
    }
}

impl PartialEq for Holder {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Holder {}

impl PartialOrd for Holder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Holder {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

/// The statements for each holder, with everything that any of `grants` gives him, each permission once.
pub fn statements(grants: impl IntoIterator<Item = Grant>) -> BTreeMap<Holder, String> {
    let mut holders: BTreeMap<Holder, BTreeSet<Vec<String>>> = BTreeMap::new();
    for Grant { holder, permission } in grants {
        holders.entry(holder).or_default().insert(permission);
    }
    let write = |(holder, permissions): (Holder, _)| {
        let text = (holder.system.write)(&holder.user, &permissions);
        (holder, text)
    };
    holders.into_iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    static DOORS: System = System {
        name: "Doors",
        write: |user, permissions| {
            let words = permissions.iter().map(|words| words.join(" "));
            format!("let {user} {}\n", words.collect::<Vec<_>>().join(", "))
        },
    };

    #[test]
    fn what_several_checks_need_of_one_server_is_written_once() {
        let (front, back) = (Holder::new(&DOORS, "front", "me"), Holder::new(&DOORS, "back", "me"));
        let grants =
            [front.needs(["open"]), back.needs(["close", "softly"]), front.needs(["close"])];
        let again = grants.clone();
        let written = statements(grants.into_iter().chain(again));
        let written: Vec<_> =
            written.iter().map(|(holder, text)| (holder.to_string(), text.as_str())).collect();
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
        let somebody = Holder::new(&DOORS, "front", "somebody");
        let other = somebody.clone().apart(&Secret::new("another-key"));
        assert_ne!(somebody, other);
        assert_eq!(somebody.to_string(), other.to_string());
        assert_eq!(statements([somebody.needs(["open"]), other.needs(["open"])]).len(), 2);
    }
}
