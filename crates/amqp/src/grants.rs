//! The permissions that a user needs, as commands for `rabbitmqctl`.
//!
//! The permissions that each method of the protocol requires: <https://www.rabbitmq.com/docs/access-control#authorisation>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};

use crate::{Amqp, Publication};

static RABBITMQ: GrantDialect = GrantDialect { name: "RabbitMQ", write };

/// The three permissions, in the order of the arguments of `set_permissions`.
const PERMISSIONS: [&str; 3] = ["configure", "write", "read"];
/// In the place of a permission: the user's tag, which is valid in all virtual hosts.
const TAG: &str = "tag";

impl Amqp {
    /// The permissions to open a connection with its reply queue, and to publish these messages.
    ///
    /// A query of a queue's depth needs only access to the virtual host, which any permission grants.
    pub fn grants(&self, publications: &[&Publication]) -> Vec<Grant> {
        let params = self.params();
        let principal = Principal::new(&RABBITMQ, self.target(), &*params.first().username);
        let grant = |permission: &str, pattern: &str| {
            principal.needs([&params.first().virtual_host, permission, pattern])
        };
        let reply_queue = format!(r"{}health-gateway\..*", literal(&params.queue_prefix));
        let mut grants = vec![grant("configure", &reply_queue), grant("read", &reply_queue)];
        for publication in publications {
            let exchange = match publication.exchange.as_str() {
                "" => "amq.default",
                exchange => exchange,
            };
            grants.push(grant("write", &literal(exchange)));
            if let Some(exchange) = publication.reply_exchange.as_deref().map(literal) {
                grants.push(grant("configure", &exchange));
                // `queue.bind` needs write on the queue and read on the exchange.
                grants.extend([grant("write", &reply_queue), grant("read", &exchange)]);
            }
        }
        grants
    }
}

impl Amqp {
    /// The tag and the access to the virtual host that `user` needs to read the state of queues from the management plugin.
    pub fn monitoring_grants(&self, user: &str) -> [Grant; 2] {
        let principal = Principal::new(&RABBITMQ, self.target(), user);
        [principal.needs([self.virtual_host(), "access"]), principal.needs(["", TAG, "monitoring"])]
    }
}

/// The pattern that matches only `name`.
fn literal(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// One command for each virtual host, which replaces the permissions of the user there, and one for the tags.
fn write(user: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let (tags, permissions): (Vec<_>, Vec<_>) =
        permissions.iter().partition(|words| words.get(1).is_some_and(|word| word == TAG));
    let hosts: BTreeSet<_> = permissions.iter().filter_map(|words| words.first()).collect();
    let command = |host: &String| {
        let patterns = PERMISSIONS.map(|permission| {
            let wanted = [host.as_str(), permission];
            let names = permissions.iter().filter(|words| words.iter().take(2).eq(wanted));
            quote(&pattern(&names.filter_map(|words| words.get(2)).collect::<Vec<_>>()))
        });
        let (host, user) = (quote(host), quote(user));
        format!("rabbitmqctl set_permissions -p {host} {user} {}\n", patterns.join(" "))
    };
    let commands = hosts.into_iter().map(command);
    let tags: Vec<_> = tags.into_iter().filter_map(|words| words.get(2)).cloned().collect();
    let tags = match tags.as_slice() {
        [] => None,
        tags => Some(format!("rabbitmqctl set_user_tags {} {}\n", quote(user), tags.join(" "))),
    };
    commands.chain(tags).collect()
}

/// One pattern for all names, or `^$`, which matches no name, if there are none.
fn pattern(names: &[&String]) -> String {
    match names {
        [name] => format!("^{name}$"),
        [] => "^$".to_owned(),
        names => {
            let names: Vec<_> = names.iter().map(|name| name.as_str()).collect();
            format!("^({})$", names.join("|"))
        }
    }
}

/// A word, quoted for a shell if necessary.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_virtual_host_has_a_command() {
        let permissions = [
            ["app", "write", "b"],
            ["app", "write", "a"],
            ["app", "read", r"my\.queue"],
            ["/", "configure", "a"],
        ];
        let permissions = permissions.map(|words| words.map(str::to_owned).to_vec()).into();
        assert_eq!(
            write("o'me", &permissions),
            "rabbitmqctl set_permissions -p / 'o'\\''me' '^a$' '^$' '^$'\n\
             rabbitmqctl set_permissions -p app 'o'\\''me' '^$' '^(a|b)$' '^my\\.queue$'\n"
        );
    }

    #[test]
    fn a_user_that_monitors_has_access_and_a_tag() {
        let permissions = [vec!["app", "access"], vec!["", "tag", "monitoring"]];
        let words = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        assert_eq!(
            write("me", &permissions.map(words).into()),
            "rabbitmqctl set_permissions -p app me '^$' '^$' '^$'\n\
             rabbitmqctl set_user_tags me monitoring\n"
        );
    }

    #[test]
    fn a_name_is_escaped_in_a_pattern() {
        assert_eq!(literal("celery.pidbox"), r"celery\.pidbox");
        assert_eq!(literal("a+b (c)_d-\u{e9}"), "a\\+b\\ \\(c\\)_d-\u{e9}");
    }
}
