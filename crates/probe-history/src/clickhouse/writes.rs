//! Finds the reasons why rows cannot be inserted into a table that can be read.

use std::time::Duration;

use probe::config::Fields;
use probe::{Failure, count, in_seconds};

use super::sql;

/// The step of the query, and of every reason except a read-only replica.
pub(super) const STEP: &str = "writes";

/// An insert reserves at least this many bytes: <https://github.com/ClickHouse/ClickHouse/blob/master/src/Storages/MergeTree/MergeTreeData.h>.
const MIN_FREE: u64 = 1024 * 1024;

/// The largest free space among disks, without what `keep_free_space_bytes` reserves. That of an object storage is the largest integer, and so is that of no disks.
const MAX_FREE_SPACE: &str = "if(count() = 0, 18446744073709551615, max(free_space))";

/// Partitions with larger parts may have any number of them (`max_avg_part_size_for_too_many_parts`).
const MAX_AVERAGE_PART: u64 = 1024 * 1024 * 1024;

/// What the application needs to insert rows.
#[derive(Debug)]
pub(crate) struct Writes {
    /// The columns that the application writes.
    pub(super) columns: Vec<String>,
    /// How long a mutation or an entry of the replication queue may take.
    stuck_after: Duration,
}

impl Writes {
    /// Reads `writes`, `columns` and `stuck_after`. `None` if the application does not write, or if a setting is wrong.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let writes = fields.with_default("writes", false);
        let columns: Vec<String> = fields.optional("columns").unwrap_or_default();
        let stuck_after = fields.with_default("stuck_after", Duration::from_hours(1));
        for name in &columns {
            super::validate_name(fields, "columns", name);
        }
        if !writes {
            for key in ["columns", "stuck_after"] {
                if fields.has(key) {
                    fields.error(key, "expected `writes = true`");
                }
            }
            return None;
        }
        Some(Self { columns, stuck_after })
    }

    /// A query that returns one row with the state of the table, and with that of its disks unless the server is too old to list them.
    pub(super) fn query(&self, database: &str, table: &str, with_disks: bool) -> String {
        let (database, table) = (sql::text(database), sql::text(table));
        let own = format!("database = {database} AND table = {table}");
        let named = format!("database = {database} AND name = {table}");
        let stuck = format!("create_time < now() - {}", self.stuck_after.as_secs());
        let failing = format!("{own} AND last_exception != '' AND {stuck}");
        let columns: Vec<_> = self.columns.iter().map(|name| sql::text(name)).collect();
        let columns = if columns.is_empty() { "''".to_owned() } else { columns.join(", ") };
        let mut facts = vec![
            format!("SELECT count() FROM system.replicas WHERE {own} AND is_readonly = 1"),
            format!(
                "SELECT max(parts) FROM (SELECT count() AS parts FROM system.parts WHERE {own} AND active GROUP BY partition HAVING avg(bytes_on_disk) <= {MAX_AVERAGE_PART})"
            ),
            "SELECT any(value) FROM system.merge_tree_settings WHERE name = 'parts_to_throw_insert'"
                .to_owned(),
            format!(
                r"SELECT extract(any(engine_full), 'parts_to_throw_insert = (\\d+)') FROM system.tables WHERE {named}"
            ),
            format!("SELECT count() FROM system.replication_queue WHERE {failing}"),
            format!("SELECT any(last_exception) FROM system.replication_queue WHERE {failing}"),
            format!("SELECT count() FROM system.mutations WHERE {own} AND is_done = 0 AND {stuck}"),
            format!(
                r"SELECT arrayStringConcat(groupArray(name), '\n') FROM system.columns WHERE {own} AND name IN ({columns})"
            ),
        ];
        if with_disks {
            // A table without a policy of its own, such as a view, has no disks.
            let policy = format!("SELECT storage_policy FROM system.tables WHERE {named}");
            let disks = format!(
                "SELECT arrayJoin(disks) FROM system.storage_policies WHERE policy_name IN ({policy})"
            );
            facts
                .push(format!("SELECT {MAX_FREE_SPACE} FROM system.disks WHERE name IN ({disks})"));
        }
        format!("SELECT ({})", facts.join("), ("))
    }

    /// Fails if the row of [`Writes::query`] shows that no row can be inserted, or that inserted rows are not replicated or changed.
    pub(super) fn verify(&self, table: &str, row: &str) -> Result<(), Failure> {
        let facts: Vec<_> = row.split('\t').collect();
        let text = |at: usize| facts.get(at).copied().unwrap_or_default();
        let number = |at: usize| text(at).parse::<i64>().ok();
        let fail = |reason: String| Err(Failure::msg(STEP, format!("the table {table} {reason}")));
        if facts.len() < 8 {
            return Err(Failure::msg(STEP, "not an answer to the query"));
        }
        if number(0) != Some(0) {
            let reason =
                "is a read-only replica: it has lost its coordinator, or is still starting";
            return Err(Failure::msg("replica", format!("the table {table} {reason}")));
        }
        let existing: Vec<_> = text(7).split("\\n").map(unescaped).collect();
        let missing = self.columns.iter().filter(|name| !existing.contains(name));
        let missing: Vec<_> = missing.map(|name| format!("`{name}`")).collect();
        if !missing.is_empty() {
            return fail(format!("has no column {}", missing.join(", ")));
        }
        let limit = number(3).or_else(|| number(2)).filter(|limit| *limit > 0);
        if let (Some(parts), Some(limit)) = (number(1), limit)
            && parts >= limit
        {
            return fail(format!(
                "has {} in one partition, its limit is {limit}",
                count(parts.unsigned_abs(), "active part", "active parts")
            ));
        }
        if let Some(free) = facts.get(8).and_then(|free| free.parse::<u64>().ok())
            && free < MIN_FREE
        {
            return fail("has no space left on its disks".to_owned());
        }
        let after = in_seconds(self.stuck_after);
        if let Some(entries @ 1..) = number(4) {
            let why = unescaped(text(5));
            return fail(format!(
                "has {} in its replication queue for {after}: {why}",
                count(entries.unsigned_abs(), "failing entry", "failing entries")
            ));
        }
        match number(6) {
            Some(mutations @ 1..) => {
                let mutations = count(mutations.unsigned_abs(), "mutation", "mutations");
                fail(format!("has {mutations} not done after {after}"))
            }
            _ => Ok(()),
        }
    }
}

/// A value of the format `TabSeparated` on one line.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text
                .extend(letters.next().map(|next| if "ntr".contains(next) { ' ' } else { next })),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The row of a table that accepts writes, from a server that lists its disks.
    const GOOD: [&str; 9] = ["0", "3", "300", "", "0", "", "0", r"id\nit\'s", "5000000"];

    fn check(at: usize, value: &str, expected: &str) {
        let columns = vec!["id".to_owned(), "it's".to_owned()];
        let writes = Writes { columns, stuck_after: Duration::from_hours(1) };
        let mut row = GOOD;
        row[at] = value;
        let found = writes.verify("a.b", &row.join("\t"));
        let line = found.err().map(|failure| failure.render("")).unwrap_or_default();
        assert_eq!(line, expected);
    }

    #[test]
    fn each_reason_is_named() {
        check(0, "0", "");
        check(1, "299", "");
        check(
            1,
            "300",
            "writes: the table a.b has 300 active parts in one partition, its limit is 300",
        );
        check(3, "3", "writes: the table a.b has 3 active parts in one partition, its limit is 3");
        check(
            0,
            "1",
            "replica: the table a.b is a read-only replica: it has lost its coordinator, or is still starting",
        );
        check(7, "id", "writes: the table a.b has no column `it's`");
        check(8, "1000", "writes: the table a.b has no space left on its disks");
        check(8, "0", "writes: the table a.b has no space left on its disks");
        check(8, "18446744073709551615", "");
        check(6, "2", "writes: the table a.b has 2 mutations not done after 3600s");
        check(
            4,
            "1",
            "writes: the table a.b has 1 failing entry in its replication queue for 3600s:",
        );
    }

    /// The server of the tests may be too old to list its disks.
    #[test]
    fn the_space_of_an_object_storage_is_unlimited() {
        let port = stack::clickhouse::shared().expect("a server").port();
        let largest = |disks: &str| {
            let query = format!("SELECT {MAX_FREE_SPACE} FROM ({disks})");
            stack::clickhouse::sql(port, &query).expect("an answer")
        };
        let disk = |space: &str| format!("SELECT toUInt64('{space}') AS free_space");
        let (full, object_storage) = (disk("0"), disk("18446744073709551615"));
        assert_eq!(largest(&full), "0");
        assert_eq!(largest(&object_storage), u64::MAX.to_string());
        assert_eq!(largest(&format!("{full} UNION ALL {object_storage}")), u64::MAX.to_string());
        assert_eq!(
            largest(&format!("SELECT * FROM ({full}) WHERE free_space > 0")),
            u64::MAX.to_string()
        );
    }

    #[test]
    fn an_escaped_value_stays_on_one_line() {
        assert_eq!(unescaped(r"a\tb\\c\'d\ne"), r"a b\c'd e");
    }
}
