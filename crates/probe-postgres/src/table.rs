//! Checks that rows can be inserted into a table.

use std::fmt;
use std::sync::Arc;

use probe::config::Fields;
use probe::{CachedConnection, Cleanups, Failure, Steps};

use crate::cancel::query_or_cancel;
use crate::role::Role;
use crate::server::Server;
use crate::session::Session;

const STEP: &str = "table";

/// A table that the application inserts rows into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

impl Table {
    /// Reads `table`, and records an error if the application needs no primary, or finds the table by the parameter `schema` of its URL.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        role: Option<Role>,
        schema: Option<&'static str>,
    ) -> Option<Self> {
        let text: String = fields.optional("table")?;
        if role != Some(Role::Primary) {
            fields.error("table", "expected `role = \"primary\"`");
            return None;
        }
        let table = Self::parse(&text);
        if let (Some(Self { schema: None, .. }), Some(parameter)) = (&table, schema) {
            let message = format!(
                "expected the table with its schema, as in `app.events`, beside `{parameter}` in the URL, which is ignored here"
            );
            fields.error("table", message);
            return None;
        }
        if table.is_none() {
            fields.error("table", "expected the name of a table, as in `events` or `app.events`");
        }
        table
    }

    fn parse(text: &str) -> Option<Self> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        // A backslash would be an escape in some servers' literals.
        let is_name = |name: &str| !name.is_empty() && !name.contains(['.', '\\', '\0']);
        (is_name(name) && schema.is_none_or(is_name))
            .then(|| Self { schema: schema.map(str::to_owned), name: name.to_owned() })
    }

    /// Fails if this user cannot insert rows, or if the lock for it is held back.
    pub(crate) async fn verify(
        &self,
        server: &Arc<CachedConnection<Server>>,
        session: Arc<Session>,
        cleanups: &Cleanups,
        steps: &Steps,
    ) -> Result<(), Failure> {
        steps.begin_with(STEP, format!("no lock for INSERT on {}", self.plain()), "");
        let query = query_or_cancel(server, session, self.lock_query(), cleanups, ());
        let (rows, ()) = query.await.map_err(|cause| Failure::new(STEP, cause))?;
        // `LOCK` is permitted with UPDATE as well.
        if rows.first().and_then(|row| row.try_get(0).ok().flatten()) == Some("t") {
            return Ok(());
        }
        Err(Failure::msg(STEP, format!("permission denied to INSERT into {}", self.plain())))
    }

    /// The lock of an `INSERT`, which the end of this one simple query, and so of its transaction, releases.
    ///
    /// If the cancel request is lost, the wait ends with the time limit. An `INSERT` locks one partition, which is not known.
    fn lock_query(&self) -> String {
        let table = self.to_string();
        let literal = table.replace('\'', "''");
        format!(
            "SET LOCAL lock_timeout = '1min'; SELECT pg_catalog.has_table_privilege('{literal}', 'INSERT'); LOCK TABLE ONLY {table} IN ROW EXCLUSIVE MODE"
        )
    }

    /// The name as in the configuration.
    fn plain(&self) -> String {
        let schema = self.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        schema + &self.name
    }
}

/// Prints the quoted name.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quote(schema))?;
        }
        f.write_str(&quote(&self.name))
    }
}

/// A quoted SQL identifier.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_name_and_perhaps_a_schema() {
        for (text, expected) in [
            ("events", r#""events""#),
            ("app.events", r#""app"."events""#),
            ("App.it's \"x\"", r#""App"."it's ""x""""#),
        ] {
            assert_eq!(Table::parse(text).expect("a name").to_string(), expected);
        }
        for text in ["", ".", "a.", ".b", "a.b.c", "a\\b", "a\0"] {
            assert_eq!(Table::parse(text), None, "{text:?}");
        }
    }
}
