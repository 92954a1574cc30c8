//! The privileges that the check needs.
//!
//! `PUBLIC` has `CONNECT` until it is revoked, and may execute the functions of the query: <https://www.postgresql.org/docs/current/ddl-priv.html>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};
use tokio_postgres::Config;

static POSTGRESQL: GrantDialect = GrantDialect { name: "PostgreSQL", write };

/// The privilege `CONNECT` on the database.
pub(crate) fn connect(target: &str, config: &Config) -> Grant {
    let user = config.get_user().unwrap_or_default();
    // The default database has the name of the user.
    let database = config.get_dbname().unwrap_or(user);
    Principal::new(&POSTGRESQL, target, user).needs(["CONNECT", database])
}

fn write(user: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let statement = |words: &Vec<String>| match words.as_slice() {
        [privilege, database] => {
            format!("GRANT {privilege} ON DATABASE {} TO {};\n", quote(database), quote(user))
        }
        _ => String::new(),
    };
    permissions.iter().map(statement).collect()
}

/// A quoted SQL identifier.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        let grant = connect("db:5432", &url.parse().expect("a URL"));
        let statements = probe::statements([grant]);
        assert_eq!(statements.values().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn connect_is_granted_on_the_database_of_the_url() {
        check("postgres://me@db/app", "GRANT CONNECT ON DATABASE \"app\" TO \"me\";\n");
        check("postgres://me@db", "GRANT CONNECT ON DATABASE \"me\" TO \"me\";\n");
        check("postgres://m%22e@db/a", "GRANT CONNECT ON DATABASE \"a\" TO \"m\"\"e\";\n");
    }
}
