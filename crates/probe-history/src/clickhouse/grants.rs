//! The permissions that `ClickHouse` must grant, written as SQL.
//!
//! Permissions can be limited to columns; a query that names no column needs at least one of them: <https://clickhouse.com/docs/sql-reference/statements/grant#select>.

use std::collections::{BTreeMap, BTreeSet};

use probe::{Grant, GrantDialect, Principal};

use super::{ClickhouseTable, sql};

static CLICKHOUSE: GrantDialect = GrantDialect { name: "ClickHouse", write };

impl ClickhouseTable {
    /// The permissions for the check of the table.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let mut grants = vec![self.principal().needs([&self.full_name()])];
        if self.writes {
            let replicas = "`system`.`replicas`";
            let columns = ["database", "table", "is_readonly"].map(sql::name);
            grants.extend(columns.map(|column| self.principal().needs([replicas, &column])));
        }
        grants
    }

    /// The permissions to search for an event.
    pub(crate) fn grants_to_search(&self, (column, time): (&str, Option<&str>)) -> Vec<Grant> {
        let columns = [column].into_iter().chain(time).map(sql::name);
        columns.map(|column| self.principal().needs([&self.full_name(), &column])).collect()
    }

    fn principal(&self) -> Principal {
        let user = String::from_utf8_lossy(self.user.as_bytes());
        Principal::new(&CLICKHOUSE, self.target(), user)
    }
}

/// Writes one statement for each table: for its columns, or for the whole table if none are named.
fn write(user: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let mut tables: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for permission in permissions {
        if let [table, column @ ..] = permission.as_slice() {
            let columns = tables.entry(table.as_str()).or_default();
            columns.extend(column.first().map(String::as_str));
        }
    }
    let user = sql::name(user);
    let statement = |(table, columns): (&str, Vec<&str>)| match columns.as_slice() {
        [] => format!("GRANT SELECT ON {table} TO {user};\n"),
        columns => format!("GRANT SELECT({}) ON {table} TO {user};\n", columns.join(", ")),
    };
    tables.into_iter().map(statement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(permissions: &[&[&str]], expected: &str) {
        let words = |words: &&[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(write("me", &permissions.iter().map(words).collect()), expected);
    }

    #[test]
    fn a_grant_is_limited_to_columns_if_any_are_named() {
        check(&[&["`a`.`b`"]], "GRANT SELECT ON `a`.`b` TO `me`;\n");
        check(
            &[&["`a`.`b`"], &["`a`.`b`", "`id`"], &["`a`.`b`", "`at`"], &["`s`.`r`", "`x`"]],
            "GRANT SELECT(`at`, `id`) ON `a`.`b` TO `me`;\nGRANT SELECT(`x`) ON `s`.`r` TO `me`;\n",
        );
    }
}
