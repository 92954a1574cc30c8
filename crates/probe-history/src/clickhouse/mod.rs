//! The history's database: one table of one `ClickHouse`, asked over HTTP.

mod answer;
mod grants;
mod sql;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_client::{Client, Repeatable};
use probe::config::Fields;
use probe::{Failure, Secret, SharedResources, Steps};

use crate::{headers, settings};

const USER: HeaderName = HeaderName::from_static("x-clickhouse-user");
const KEY: HeaderName = HeaderName::from_static("x-clickhouse-key");

/// The table, and as whom it is read.
pub(crate) struct Table {
    client: Arc<Client>,
    path: String,
    user: HeaderValue,
    key: HeaderValue,
    database: String,
    name: String,
    writes: bool,
    // Never read, but kept alive: it is masked wherever it appears.
    _password: Secret,
}

impl Table {
    /// Reads `url`, `user`, `password`, `database`, `table`, `writes`, `ca`, `certificate` and `private_key`.
    pub(crate) fn read(shared: &SharedResources, fields: &mut Fields<'_>) -> Option<Self> {
        let url = fields.url("url", &["http", "https"]);
        if url.as_ref().is_some_and(|url| {
            let has_user = !url.username().is_empty() || url.password().is_some();
            has_user || url.text().expose().contains(['?', '#'])
        }) {
            fields.error("url", "expected a URL without user, query and fragment");
        }
        let user = word(fields, "user", "default");
        let password = fields.optional("password").unwrap_or_else(|| Secret::new(""));
        let key = headers::value(&password);
        if key.is_none() {
            fields.error("password", "expected a password without control characters");
        }
        let user_value =
            user.as_ref().and_then(|user| HeaderValue::from_bytes(user.as_bytes()).ok());
        let database = word(fields, "database", "default");
        let name: Option<String> = fields.required("table");
        let name = name.filter(|name| is_word(fields, "table", name));
        let writes = fields.with_default("writes", false);
        let client = settings::server(shared, fields, url.as_ref());
        Some(Self {
            client: client?,
            path: url?.path().to_owned(),
            user: user_value?,
            key: key?,
            database: database?,
            name: name?,
            writes,
            _password: password,
        })
    }

    /// `host:port`.
    pub(crate) fn target(&self) -> &str {
        self.client.target()
    }

    /// Whether the table can be read, and, if the application writes, whether it takes writes.
    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        self.any(steps, "query", &format!("SELECT 1 FROM {}", self.full_name())).await?;
        if self.writes && self.any(steps, "replica", &self.read_only()).await? {
            let reason = format!(
                "the table {}.{} is a replica that is read-only for now: it has lost its coordinator, or is still starting",
                self.database, self.name
            );
            return Err(Failure::msg("replica", reason));
        }
        Ok(())
    }

    /// Whether a row has one of `ids` in `column`; only rows of the last hour are looked at if there is a column that tells their `time`.
    pub(crate) async fn has(
        &self,
        steps: &Steps,
        step: &'static str,
        (column, time): (&str, Option<&str>),
        ids: [&str; 2],
    ) -> Result<bool, Failure> {
        let ids = ids.map(sql::text).join(", ");
        let recent = time.map_or_else(String::new, |time| {
            // Wide enough for clocks that differ.
            format!(" AND {} > now() - 3600", sql::name(time))
        });
        let column = sql::name(column);
        let query = format!("SELECT 1 FROM {} WHERE {column} IN ({ids}){recent}", self.full_name());
        self.any(steps, step, &query).await
    }

    /// Whether `query`, which selects `1`, finds a row.
    async fn any(&self, steps: &Steps, step: &'static str, query: &str) -> Result<bool, Failure> {
        // Nothing is set in the URL: a user who may only read may not even do that.
        let query = format!("{query} LIMIT 1 FORMAT TabSeparated");
        let request = Request::post(&self.path)
            .header(USER, &self.user)
            .header(KEY, &self.key)
            .extension(Repeatable)
            .body(Bytes::from(query));
        let request = request.map_err(|error| Failure::new(step, error))?;
        answer::read(step, &self.client.send(steps, step, request).await?)
    }

    fn full_name(&self) -> String {
        format!("{}.{}", sql::name(&self.database), sql::name(&self.name))
    }

    /// Finds the table if it is a replica that takes no writes.
    fn read_only(&self) -> String {
        format!(
            "SELECT 1 FROM system.replicas WHERE database = {} AND table = {} AND is_readonly = 1",
            sql::text(&self.database),
            sql::text(&self.name)
        )
    }
}

/// The text under `key`, or `default`.
fn word(fields: &mut Fields<'_>, key: &'static str, default: &str) -> Option<String> {
    let text: String = fields.with_default(key, default.to_owned());
    is_word(fields, key, &text).then_some(text)
}

/// Whether `text` can be the name of something in `ClickHouse`, else a mistake is noted.
pub(crate) fn is_word(fields: &mut Fields<'_>, key: &'static str, text: &str) -> bool {
    let fits = (1..=200).contains(&text.len()) && !text.contains(char::is_control);
    if !fits {
        fields.error(key, "expected a name of 1 to 200 bytes without control characters");
    }
    fits
}
