//! The permissions that `ClickHouse` must grant, written as SQL.
//!
//! Permissions can be limited to columns; a query that names no column needs at least one of them: <https://clickhouse.com/docs/sql-reference/statements/grant#select>.

use std::collections::{BTreeMap, BTreeSet};

use probe::{Grant, GrantDialect, Principal};

use super::{ClickhouseTable, sql};

/// The tables and columns of the database `system` that the query of [`Writes`](super::writes::Writes) reads.
const SYSTEM_COLUMNS: [(&str, &[&str]); 9] = [
    ("columns", &["database", "table", "name"]),
    ("disks", &["name", "free_space"]),
    ("merge_tree_settings", &["name", "value"]),
    ("mutations", &["database", "table", "create_time", "is_done"]),
    ("parts", &["database", "table", "partition", "active", "bytes_on_disk"]),
    ("replicas", &["database", "table", "is_readonly"]),
    ("replication_queue", &["database", "table", "create_time", "last_exception"]),
    ("storage_policies", &["policy_name", "disks"]),
    ("tables", &["database", "name", "engine_full", "storage_policy"]),
];

static CLICKHOUSE: GrantDialect = GrantDialect { name: "ClickHouse", write };

impl ClickhouseTable {
    /// The permissions for the check of the table.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let mut grants = vec![self.principal().needs([&self.full_name()])];
        let Some(writes) = &self.writes else { return grants };
        // `system.columns` lists only the columns that the user may read.
        let columns = writes.columns.iter().map(|name| sql::name(name));
        grants.extend(columns.map(|column| self.principal().needs([&self.full_name(), &column])));
        for (table, columns) in SYSTEM_COLUMNS {
            let table = format!("`system`.{}", sql::name(table));
            let columns = columns.iter().map(|column| sql::name(column));
            grants.extend(columns.map(|column| self.principal().needs([&table, &column])));
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
