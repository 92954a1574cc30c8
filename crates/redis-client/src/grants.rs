//! What a Redis must grant, as a line for its access control list.
//!
//! The rules: <https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};

use crate::deployment::{Credentials, Layout};
use crate::{Command, Redis};

/// The user that everybody is who gives no name.
const DEFAULT: &str = "default";

/// What must be known before this user is restricted.
const ALONE: &str =
    "# Whoever gives no name is this user, too: give the gateway a user of its own first.\n";

static REDIS: GrantDialect = GrantDialect { name: "Redis", write };
static SENTINEL: GrantDialect = GrantDialect { name: "Redis Sentinel", write };

impl Redis {
    /// What its user needs to send `commands` that touch `names`: patterns of keys such as `~orders:*`, and of channels such as `&news`.
    ///
    /// `AUTH` is granted to everybody. `CLIENT` and `INFO`, which the client library asks when it connects, may be refused.
    pub fn grants(&self, commands: &[Command], names: &[String]) -> Vec<Grant> {
        let deployment = self.kept.connector().deployment();
        let (target, user) = (self.target(), user(&deployment.credentials));
        let (server, find) = match &deployment.layout {
            Layout::Single => (target.to_owned(), None),
            Layout::Cluster => {
                (format!("every node of the cluster of {target}"), Some("+cluster|slots"))
            }
            Layout::Sentinel { service, .. } => {
                (format!("whatever Sentinel at {target} calls {service}"), Some("+role"))
            }
        };
        let principal = Principal::new(&REDIS, server, user);
        let select = (self.database() != 0).then_some("+select").into_iter();
        let rules = select.chain(find).map(str::to_owned);
        let commands =
            commands.iter().map(|command| format!("+{}", command.request.name().to_lowercase()));
        let rules = rules.chain(commands).chain(names.iter().cloned());
        let mut grants: Vec<_> = rules.map(|rule| principal.needs([&rule])).collect();
        if let Layout::Sentinel { credentials, .. } = &deployment.layout {
            let sentinel = Principal::new(&SENTINEL, target, self::user(credentials));
            let asked = ["+sentinel|get-master-addr-by-name", "+sentinel|sentinels"];
            grants.extend(asked.map(|rule| sentinel.needs([rule])));
        }
        grants
    }
}

/// The pattern that only `name` matches, as far as a pattern can say that: it cannot hold spaces, and any character stands for what would be hard to type.
pub fn literal(name: &str) -> String {
    let piece = |byte: u8| match byte {
        b'*' | b'?' | b'[' | b']' | b'\\' => format!("\\{}", char::from(byte)),
        b'"' | b'\'' => "?".to_owned(),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        _ => "?".to_owned(),
    };
    name.bytes().map(piece).collect()
}

/// Without a name, Redis takes whoever comes for its default user.
fn user(credentials: &Credentials) -> &str {
    credentials.username.as_deref().unwrap_or(DEFAULT)
}

/// Takes everything from the user first, so that he may do this and nothing more.
fn write(user: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let warning = if user == DEFAULT { ALONE } else { "" };
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
            write("me", &rules),
            "ACL SETUSER me resetkeys resetchannels -@all ~a:* ~b &b +del +set\n"
        );
    }

    #[test]
    fn a_name_is_no_pattern() {
        assert_eq!(literal("orders"), "orders");
        assert_eq!(literal(r"a*b[c]?\"), r"a\*b\[c\]\?\\");
        assert_eq!(literal("a b\u{6}'\""), "a?b???");
    }
}
