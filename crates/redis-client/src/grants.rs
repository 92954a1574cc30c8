//! The ACL rules that the checks need, as `ACL SETUSER` commands.
//!
//! The rules: <https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};

use crate::deployment::{Credentials, Layout};
use crate::{Command, Redis};

/// The user of a connection without a user name.
const DEFAULT_USER: &str = "default";

/// Printed before a command that restricts the default user.
const DEFAULT_USER_WARNING: &str =
    "# Every client without a user name is this user: give the gateway a user of its own first.\n";

static REDIS: GrantDialect = GrantDialect { name: "Redis", write: acl_setuser };
static SENTINEL: GrantDialect = GrantDialect { name: "Redis Sentinel", write: acl_setuser };

impl Redis {
    /// The grants that the user needs to send `commands` that access `patterns`: keys such as `~orders:*`, and channels such as `&news`.
    ///
    /// `AUTH` needs no grant. `PING`, which is sent first if there is no password, may be refused.
    pub fn grants(&self, commands: &[Command], patterns: &[String]) -> Vec<Grant> {
        let deployment = self.connection.connector().deployment();
        let (target, user) = (self.target(), user(&deployment.credentials));
        let (server, discovery) = match &deployment.layout {
            Layout::Single => (target.to_owned(), None),
            Layout::Cluster => {
                (format!("every node of the cluster of {target}"), Some("+cluster|slots"))
            }
            Layout::Sentinel { service, .. } => {
                (format!("the primary {service} of Sentinel at {target}"), Some("+role"))
            }
        };
        let principal = Principal::new(&REDIS, server, user);
        let select = (self.database() != 0).then_some("+select").into_iter();
        let rules = select.chain(discovery).map(str::to_owned);
        let commands = commands.iter().map(|command| format!("+{}", command.name.to_lowercase()));
        let rules = rules.chain(commands).chain(patterns.iter().cloned());
        let mut grants: Vec<_> = rules.map(|rule| principal.needs([&rule])).collect();
        if let Layout::Sentinel { credentials, .. } = &deployment.layout {
            let sentinel = Principal::new(&SENTINEL, target, self::user(credentials));
            grants.push(sentinel.needs(["+sentinel|get-master-addr-by-name"]));
        }
        grants
    }
}

/// A pattern that matches `name` and as little else as possible. A space, a quote or a non-ASCII byte becomes `?`, since a rule cannot contain it.
pub fn literal_pattern(name: &str) -> String {
    let piece = |byte: u8| match byte {
        b'*' | b'?' | b'[' | b']' | b'\\' => format!("\\{}", char::from(byte)),
        b'"' | b'\'' => "?".to_owned(),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        _ => "?".to_owned(),
    };
    name.bytes().map(piece).collect()
}

/// The user name, or that of Redis's default user.
fn user(credentials: &Credentials) -> &str {
    credentials.username.as_deref().unwrap_or(DEFAULT_USER)
}

/// Resets the user first, so that it has these permissions and no others.
fn acl_setuser(user: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let warning = if user == DEFAULT_USER { DEFAULT_USER_WARNING } else { "" };
    let mut line = format!("{warning}ACL SETUSER {user} resetkeys resetchannels -@all");
    for kind in ['~', '&', '+'] {
        for rule in permissions.iter().flatten().filter(|rule| rule.starts_with(kind)) {
            line = format!("{line} {rule}");
        }
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_keys_then_channels_then_commands() {
        let rules = ["+set", "~a:*", "+del", "&b", "~b"];
        let rules = rules.into_iter().map(|rule| vec![rule.to_owned()]).collect();
        assert_eq!(
            acl_setuser("me", &rules),
            "ACL SETUSER me resetkeys resetchannels -@all ~a:* ~b &b +del +set\n"
        );
    }

    #[test]
    fn special_characters_of_a_name_are_escaped() {
        assert_eq!(literal_pattern("orders"), "orders");
        assert_eq!(literal_pattern(r"a*b[c]?\"), r"a\*b\[c\]\?\\");
        assert_eq!(literal_pattern("a b\u{6}'\""), "a?b???");
    }
}
