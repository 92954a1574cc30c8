//! What PostgreSQL must grant.
//!
//! <https://www.postgresql.org/docs/current/ddl-priv.html>: a database can be connected to by everybody until that is revoked. What the query calls, everybody may call.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};
use tokio_postgres::Config;

static POSTGRESQL: GrantDialect = GrantDialect { name: "PostgreSQL", write };

/// The right to connect to the one database.
pub(crate) fn to_connect(target: &str, config: &Config) -> Grant {
    let user = config.get_user().unwrap_or_default();
    // Without a name it is the user's own.
    let database = config.get_dbname().unwrap_or(user);
    Principal::new(&POSTGRESQL, target, user).needs(["CONNECT", database])
}

fn write(user: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let statement = |words: &Vec<String>| match words.as_slice() {
        [privilege, database] => {
            format!("GRANT {privilege} ON DATABASE {} TO {};\n", name(database), name(user))
        }
        _ => String::new(),
    };
    permissions.iter().map(statement).collect()
}

/// A name as SQL quotes it.
fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        let grant = to_connect("db:5432", &url.parse().expect("a URL"));
        let written = probe::statements([grant]);
        assert_eq!(written.values().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn the_user_may_connect_to_the_one_database() {
        check("postgres://me@db/app", "GRANT CONNECT ON DATABASE \"app\" TO \"me\";\n");
        check("postgres://me@db", "GRANT CONNECT ON DATABASE \"me\" TO \"me\";\n");
        check("postgres://m%22e@db/a", "GRANT CONNECT ON DATABASE \"a\" TO \"m\"\"e\";\n");
    }
}
