//! What a broker must grant, as the command for its tool.
//!
//! What each method of the protocol needs: <https://www.rabbitmq.com/docs/access-control#authorisation>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};

use crate::{Amqp, Publication};

static RABBITMQ: GrantDialect = GrantDialect { name: "RabbitMQ", write };

/// The three permissions, in the order in which they are given.
const KINDS: [&str; 3] = ["configure", "write", "read"];

impl Amqp {
    /// What its user needs for a connection with its mailbox, and to publish these messages.
    ///
    /// To ask how full a queue is needs nothing but access to the virtual host, which any permission in it gives.
    pub fn grants(&self, publications: &[&Publication]) -> Vec<Grant> {
        let place = self.place();
        let principal = Principal::new(&RABBITMQ, self.target(), &*place.username);
        let grant = |kind: &str, names: &str| principal.needs([&place.virtual_host, kind, names]);
        let mailbox = format!(r"{}health-gateway\..*", literal(&place.queue_prefix));
        let mut grants = vec![grant("configure", &mailbox), grant("read", &mailbox)];
        for publication in publications {
            let exchange = match publication.exchange.as_str() {
                "" => "amq.default",
                exchange => exchange,
            };
            grants.push(grant("write", &literal(exchange)));
            if let Some(answers) = publication.answers_through.map(literal) {
                grants.push(grant("configure", &answers));
                // Binding a queue writes to it, and reads from the exchange.
                grants.extend([grant("write", &mailbox), grant("read", &answers)]);
            }
        }
        grants
    }
}

/// The pattern that only `name` matches.
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

/// One command for each virtual host, which replaces what the user may do there.
fn write(user: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let hosts: BTreeSet<_> = permissions.iter().filter_map(|words| words.first()).collect();
    let command = |host: &String| {
        let patterns = KINDS.map(|kind| {
            let wanted = [host.as_str(), kind];
            let names = permissions.iter().filter(|words| words.iter().take(2).eq(wanted));
            quoted(&pattern(&names.filter_map(|words| words.get(2)).collect::<Vec<_>>()))
        });
        let (host, user) = (quoted(host), quoted(user));
        format!("rabbitmqctl set_permissions -p {host} {user} {}\n", patterns.join(" "))
    };
    hosts.into_iter().map(command).collect()
}

/// One pattern for all; without any, that of no name.
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

/// A word as a shell takes it literally.
fn quoted(word: &str) -> String {
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
    fn each_virtual_host_has_its_command() {
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
    fn a_name_is_no_pattern() {
        assert_eq!(literal("celery.pidbox"), r"celery\.pidbox");
        assert_eq!(literal("a+b (c)_d-\u{e9}"), "a\\+b\\ \\(c\\)_d-\u{e9}");
    }
}
