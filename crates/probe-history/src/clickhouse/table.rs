//! The table of the history, and the queries of its checks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_client::{Client, Repeatable};
use parking_lot::Mutex;
use probe::config::Fields;
use probe::{Failure, LoginBackoff, Secret, SharedResources, Steps};

use super::writes::{self, Writes};
use super::{response, sql};
use crate::settings;

const USER: HeaderName = HeaderName::from_static("x-clickhouse-user");
const KEY: HeaderName = HeaderName::from_static("x-clickhouse-key");

/// The time after which a server that was too old to list its disks is asked for them again.
const RETRY_DISKS: Duration = Duration::from_mins(10);

/// A table, and the user that queries it.
pub(crate) struct ClickhouseTable {
    client: Arc<Client>,
    path: String,
    pub(super) user: HeaderValue,
    key: HeaderValue,
    database: String,
    name: String,
    pub(super) writes: Option<Writes>,
    /// When the server was found to be too old to list its disks.
    without_disks: Mutex<Option<Instant>>,
    logins: Arc<LoginBackoff>,
    // Never read: a live `Secret` is masked in all output.
    _password: Secret,
}

impl ClickhouseTable {
    /// Reads `url`, `user`, `password`, `database`, `table`, those of [`Writes`] and the settings of TLS. Errors are reported in `fields`.
    pub(crate) fn read(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<Self> {
        let url = fields.url("url", &["http", "https"]);
        if url.as_ref().is_some_and(|url| url.text().expose().contains(['?', '#'])) {
            fields
                .error("url", "expected a URL without query and fragment: `database` is a setting");
        }
        let mut user = name_or_default(fields, "user", "default");
        let mut password = fields.optional("password").unwrap_or_else(|| Secret::new(""));
        let mut key_of_password = "password";
        if let Some(url) = url.as_ref().filter(|url| url.basic_auth().is_some()) {
            if fields.has("user") || fields.has("password") {
                fields.error(
                    "url",
                    "expected the user in `url` or in `user` and `password`, but not both",
                );
            } else {
                if !url.username().is_empty() {
                    user = Some(url.username().to_owned());
                }
                password = url.password().cloned().unwrap_or(password);
                key_of_password = "url";
            }
        }
        let key = http_client::secret_header(&password);
        if key.is_none() {
            fields.error(key_of_password, "expected a password without control characters");
        }
        let user_value =
            user.as_ref().and_then(|user| HeaderValue::from_bytes(user.as_bytes()).ok());
        let database = name_or_default(fields, "database", "default");
        let name: Option<String> = fields.required("table");
        let name = name.filter(|name| validate_name(fields, "table", name));
        let writes = Writes::read(fields);
        let client = settings::shared_client(fields, shared, url.as_ref())?;
        let login = [client.target(), user.as_deref().unwrap_or_default(), password.expose()];
        let logins =
            shared.get_or_insert(&Secret::unmasked(login.join("\0")), LoginBackoff::default);
        Some(Self {
            client,
            logins,
            path: url?.path().to_owned(),
            user: user_value?,
            key: key?,
            database: database?,
            name: name?,
            writes,
            without_disks: Mutex::default(),
            _password: password,
        })
    }

    /// The target, as `host:port`.
    pub(crate) fn target(&self) -> &str {
        self.client.target()
    }

    /// Reads the table and, if the application writes to it, verifies that it accepts writes.
    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        self.has_row(steps, "query", &format!("SELECT 1 FROM {}", self.full_name())).await?;
        let Some(writes) = &self.writes else { return Ok(()) };
        let row = self.state(steps, writes).await?;
        writes.verify(&format!("{}.{}", self.database, self.name), &row)
    }

    /// The row of [`Writes::query`].
    async fn state(&self, steps: &Steps, writes: &Writes) -> Result<String, Failure> {
        let query = |disks| writes.query(&self.database, &self.name, disks);
        let is_old = self.without_disks.lock().is_some_and(|at| at.elapsed() < RETRY_DISKS);
        if !is_old {
            match self.row(steps, writes::STEP, &query(true)).await {
                Err(failure) if response::is_unknown_name(&failure) => {
                    *self.without_disks.lock() = Some(Instant::now());
                }
                result => return result.map(Option::unwrap_or_default),
            }
        }
        self.row(steps, writes::STEP, &query(false)).await.map(Option::unwrap_or_default)
    }

    /// Whether a row has one of `ids` in `column`. With a `time` column, only rows of the last hour are searched.
    pub(crate) async fn has_event(
        &self,
        steps: &Steps,
        step: &'static str,
        (column, time): (&str, Option<&str>),
        ids: [&str; 2],
    ) -> Result<bool, Failure> {
        let ids = ids.map(sql::text).join(", ");
        let recent = time.map_or_else(String::new, |time| {
            // An hour allows for clock differences.
            format!(" AND {} > now() - 3600", sql::name(time))
        });
        let column = sql::name(column);
        let query = format!("SELECT 1 FROM {} WHERE {column} IN ({ids}){recent}", self.full_name());
        self.has_row(steps, step, &query).await
    }

    /// Whether `query`, which selects `1`, returns a row.
    async fn has_row(
        &self,
        steps: &Steps,
        step: &'static str,
        query: &str,
    ) -> Result<bool, Failure> {
        match self.row(steps, step, query).await?.as_deref() {
            None => Ok(false),
            Some("1") => Ok(true),
            Some(_) => Err(response::not_clickhouse(step, 200)),
        }
    }

    /// The first row that `query` returns, tab-separated.
    async fn row(
        &self,
        steps: &Steps,
        step: &'static str,
        query: &str,
    ) -> Result<Option<String>, Failure> {
        // The URL sets no settings, because a read-only user may not change any.
        let query = format!("{query} LIMIT 1 FORMAT TabSeparated");
        let request = Request::post(&self.path)
            .header(USER, &self.user)
            .header(KEY, &self.key)
            .extension(Repeatable)
            .body(Bytes::from(query));
        let request = request.map_err(|error| Failure::new(step, error))?;
        let query = async { response::row(step, &self.client.send(steps, step, request).await?) };
        Box::pin(self.logins.attempt(query)).await
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", sql::name(&self.database), sql::name(&self.name))
    }
}

/// The name under `key`, or `default`.
fn name_or_default(fields: &mut Fields<'_>, key: &'static str, default: &str) -> Option<String> {
    let text: String = fields.with_default(key, default.to_owned());
    validate_name(fields, key, &text).then_some(text)
}

/// Reports an error unless `text` can be a name in `ClickHouse`.
pub(crate) fn validate_name(fields: &mut Fields<'_>, key: &'static str, text: &str) -> bool {
    let is_valid = (1..=200).contains(&text.len()) && !text.contains(char::is_control);
    if !is_valid {
        fields.error(key, "expected a name of 1 to 200 bytes without control characters");
    }
    is_valid
}
