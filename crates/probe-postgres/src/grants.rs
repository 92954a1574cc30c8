//! The privileges that the check needs.
//!
//! `PUBLIC` has `CONNECT` and `TEMPORARY` until they are revoked, and may execute the functions of the queries: <https://www.postgresql.org/docs/current/ddl-priv.html>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};
use tokio_postgres::Config;

use crate::table::{Table, quote};

static POSTGRESQL: GrantDialect = GrantDialect { name: "PostgreSQL", write };

/// The privilege `CONNECT` on the database, `TEMPORARY` if the check writes a table, and `INSERT` on the `table` of the configuration.
pub(crate) fn needed(
    target: &str,
    config: &Config,
    writes_table: bool,
    table: Option<&Table>,
) -> Vec<Grant> {
    let user = config.get_user().unwrap_or_default();
    // The default database has the name of the user.
    let database = config.get_dbname().unwrap_or(user);
    let principal = Principal::new(&POSTGRESQL, target, user);
    let mut grants = vec![principal.needs([database, "", "CONNECT"])];
    if writes_table {
        grants.push(principal.needs([database, "", "TEMPORARY"]));
    }
    if let Some(table) = table {
        grants.push(principal.needs([database, &table.to_string(), "INSERT"]));
        let schema = table.schema.as_ref().map(|schema| format!("SCHEMA {}", quote(schema)));
        grants.extend(schema.map(|schema| principal.needs([database, &schema, "USAGE"])));
    }
    grants
}

/// A permission is a database, an object in it or nothing, and a privilege. Those on objects are granted within their database.
fn write(user: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let (mut lines, mut connected) = (Vec::new(), None);
    for permission in permissions {
        let [database, object, privilege] = permission.as_slice() else { continue };
        let (user, quoted) = (quote(user), quote(database));
        if object.is_empty() {
            lines.push(format!("GRANT {privilege} ON DATABASE {quoted} TO {user};\n"));
            continue;
        }
        if connected.replace(database) != Some(database) {
            lines.push(format!("\\connect {quoted}\n"));
        }
        lines.push(format!("GRANT {privilege} ON {object} TO {user};\n"));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, writes_table: bool, expected: &str) {
        let grants = needed("db:5432", &url.parse().expect("a URL"), writes_table, None);
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

    #[test]
    fn privileges_on_a_table_are_granted_in_its_database() {
        let table = Table { schema: Some("app".to_owned()), name: "events".to_owned() };
        let config = "postgres://me@db/data".parse().expect("a URL");
        let grants = needed("db:5432", &config, true, Some(&table));
        let statements = probe::statements(grants).into_values().collect::<String>();
        let expected = "GRANT CONNECT ON DATABASE \"data\" TO \"me\";\n\
            GRANT TEMPORARY ON DATABASE \"data\" TO \"me\";\n\
            \\connect \"data\"\n\
            GRANT INSERT ON \"app\".\"events\" TO \"me\";\n\
            GRANT USAGE ON SCHEMA \"app\" TO \"me\";\n";
        assert_eq!(statements, expected);
    }
}
