//! The privileges that the check needs.
//!
//! `PUBLIC` has `CONNECT` and `TEMPORARY` until they are revoked, and may execute the functions of the queries: <https://www.postgresql.org/docs/current/ddl-priv.html>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};
use tokio_postgres::Config;

static POSTGRESQL: GrantDialect = GrantDialect { name: "PostgreSQL", write };

/// The privilege `CONNECT` on the database, and `TEMPORARY` if the check writes a table.
pub(crate) fn needed(target: &str, config: &Config, writes_table: bool) -> Vec<Grant> {
    let user = config.get_user().unwrap_or_default();
    // The default database has the name of the user.
    let database = config.get_dbname().unwrap_or(user);
    let principal = Principal::new(&POSTGRESQL, target, user);
    let privileges = if writes_table { &["CONNECT", "TEMPORARY"][..] } else { &["CONNECT"] };
    privileges.iter().map(|privilege| principal.needs([privilege, database])).collect()
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

    fn check(url: &str, writes_table: bool, expected: &str) {
        let grants = needed("db:5432", &url.parse().expect("a URL"), writes_table);
        let statements = probe::statements(grants);
        assert_eq!(statements.values().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn privileges_are_granted_on_the_database_of_the_url() {
        check("postgres://me@db/app", false, "GRANT CONNECT ON DATABASE \"app\" TO \"me\";\n");
        check(
            "postgres://me@db",
            true,
            "GRANT CONNECT ON DATABASE \"me\" TO \"me\";\nGRANT TEMPORARY ON DATABASE \"me\" TO \"me\";\n",
        );
        let quoted = "GRANT CONNECT ON DATABASE \"a\" TO \"m\"\"e\";\n";
        check("postgres://m%22e@db/a", false, quoted);
    }
}
