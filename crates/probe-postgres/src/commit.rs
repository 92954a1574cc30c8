//! Proves that the server commits transactions, at an interval of its own.
//!
//! A commit can hang or fail although queries are answered: a synchronous standby is lost, a disk is full, or the transaction identifiers are used up.
//! A backend that waits for a standby outlives its client, and no timeout of the server ends it.
//! Therefore, a write is cancelled when its run ends, and none begins while another one is under way.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use probe::config::Fields;
use probe::{CachedConnection, Cause, Cleanups, Failure, Steps};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep};

use crate::cancel::query_or_cancel;
use crate::error;
use crate::product::Product;
use crate::role::Role;
use crate::server::Server;
use crate::session::Session;

const STEP: &str = "commit";
const NO_ANSWER: &str = "no answer";

/// How long a commit may take before its cause is looked for, on a second connection.
const SLOW: Duration = Duration::from_millis(250);
/// How often the cause is looked for, and how often the end of an earlier write is.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Writes 72 rows of 128 bytes, so that the table takes two pages of the database's own disk and not of `temp_tablespaces`.
///
/// It is one simple query, which poolers pass on as a whole, and therefore one transaction.
const WRITE_TABLE: &str = "/* health-gateway: commit */ SET LOCAL temp_tablespaces = ''; CREATE TEMPORARY TABLE health_gateway ON COMMIT DROP AS SELECT pg_catalog.repeat('x', 100) AS row FROM pg_catalog.generate_series(1, 72)";

/// Writes a record into the write-ahead log.
const WRITE_MESSAGE: &str = "/* health-gateway: commit */ SELECT pg_catalog.pg_logical_emit_message(true, 'health-gateway', '')";

/// Whether this user may write a table and a message, and whether clients may decode messages.
///
/// PostgreSQL 17 added a parameter to `pg_logical_emit_message(boolean, text, text)`. Its OID is 3577 in all versions.
const PRIVILEGES_QUERY: &str = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'), pg_catalog.has_function_privilege(3577, 'EXECUTE'), pg_catalog.current_setting('wal_level')";

/// The writes of this user that are under way in this database. Each user may read the activity of its own sessions.
const ACTIVITY_QUERY: &str = "SELECT wait_event_type, wait_event FROM pg_catalog.pg_stat_activity WHERE usename = SESSION_USER AND datname = pg_catalog.current_database() AND state = 'active' AND pid <> pg_catalog.pg_backend_pid() AND query LIKE '/* health-gateway: commit */%'";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// A temporary table. A message takes its place if only that is permitted, and no client that decodes the write-ahead log can see it.
    Table,
    /// A logical message.
    Message,
}

/// What is written, and how long its success is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writes {
    write: Write,
    every: Duration,
}

impl Writes {
    /// Reads `write` and `write_every`, and records an error if the application needs no primary. `None` if nothing is written.
    pub(crate) fn read(fields: &mut Fields<'_>, role: Option<Role>) -> Option<Self> {
        let words =
            [("table", Some(Write::Table)), ("message", Some(Write::Message)), ("off", None)];
        let write = fields.one_of("write", &words).flatten();
        let default = match write {
            Some(Write::Message) => Duration::from_secs(15),
            _ => Duration::from_mins(1),
        };
        let every = fields.with_default("write_every", default);
        let writes = write.map(|write| Self { write, every });
        if role == Some(Role::Primary) {
            return writes;
        }
        if writes.is_some() && fields.has("write") {
            fields.error("write", "expected `off`, or `role = \"primary\"`");
        }
        None
    }
}

/// The proof that one server commits, shared by all checks that need it.
pub(crate) struct CommitProof {
    writes: Writes,
    /// Locked while a write is under way, even if its run has ended.
    state: Arc<Mutex<State>>,
    /// The steps of the write that is under way, which all runs that wait for it follow. Until a write succeeds, what this one waits for is also the reason of the next one.
    steps: Arc<Steps>,
    cleanups: Cleanups,
}

#[derive(Default)]
struct State {
    /// When the last result expires.
    current_until: Option<Instant>,
    /// Why commits cannot be proven, as it was logged.
    unproven: Option<String>,
}

impl CommitProof {
    pub(crate) fn new(writes: Writes, cleanups: Cleanups) -> Self {
        let steps = Steps::new();
        steps.begin(STEP);
        Self { writes, state: Arc::default(), steps: Arc::new(steps), cleanups }
    }

    /// What is written.
    pub(crate) fn write(&self) -> Write {
        self.writes.write
    }

    /// Writes and commits on this session, unless the last commit was proven less than `write_every` ago.
    pub(crate) async fn prove(
        &self,
        server: &Arc<CachedConnection<Server>>,
        session: Arc<Session>,
        steps: &Steps,
    ) -> Result<(), Failure> {
        let mut state = self.lock(steps).await;
        if state.is_current() {
            return Ok(());
        }
        steps.follow(self.steps.clone());
        match self.prepare(&session).await.map_err(|cause| Failure::new(STEP, cause))? {
            Ok((statement, activity)) => {
                self.wait_for_earlier_writes(&session, activity).await?;
                self.commit(server, session, statement, state).await
            }
            Err(reason) => {
                state.trust(self.writes.every);
                state.log_unproven(&server.connector().target(), reason);
                Ok(())
            }
        }
    }

    async fn lock(&self, steps: &Steps) -> OwnedMutexGuard<State> {
        if let Ok(state) = self.state.clone().try_lock_owned() {
            return state;
        }
        steps.follow(self.steps.clone());
        self.state.clone().lock_owned().await
    }

    /// The statement that writes and the activity before it, or the reason why this user cannot write to this server.
    async fn prepare(
        &self,
        session: &Session,
    ) -> Result<Result<(&'static str, Activity), String>, Cause> {
        if session.product() != Product::PostgreSql {
            return Ok(Err("the server is not PostgreSQL 9.6 or newer".to_owned()));
        }
        // Neither query depends on the response to the other, so both take one round trip.
        let (rows, activity) =
            tokio::join!(session.query(PRIVILEGES_QUERY), query_activity(session));
        let rows = match rows {
            Ok(rows) => rows,
            // The user may not read its own privileges.
            Err(cause) if error::is_permission_denied(&cause) => {
                return Ok(Err(cause.text().to_owned()));
            }
            Err(cause) => return Err(cause),
        };
        let row = rows.first().ok_or_else(error::unexpected_answer)?;
        let value = |column| row.try_get(column).ok().flatten();
        let (table, message) = (value(0) == Some("t"), value(1) == Some("t"));
        let is_decoded = value(2) == Some("logical");
        let statement = match self.writes.write {
            Write::Table if table => Ok(WRITE_TABLE),
            Write::Table if message && !is_decoded => Ok(WRITE_MESSAGE),
            Write::Table => {
                Err("the user lacks the privilege TEMPORARY on the database".to_owned())
            }
            Write::Message if message => Ok(WRITE_MESSAGE),
            Write::Message => Err("the user may not execute pg_logical_emit_message".to_owned()),
        };
        Ok(statement.map(|statement| (statement, activity)))
    }

    /// Waits until no write is under way that another process began, or this one without being able to cancel it.
    async fn wait_for_earlier_writes(
        &self,
        session: &Session,
        mut activity: Activity,
    ) -> Result<(), Failure> {
        loop {
            match activity {
                Ok(Some(wait)) => {
                    let known = wait.unwrap_or("an earlier commit is under way");
                    self.steps.begin_with(STEP, NO_ANSWER, known);
                    sleep(POLL_INTERVAL).await;
                    activity = query_activity(session).await;
                }
                Err(cause) if cause.is_connection_lost() => return Err(Failure::new(STEP, cause)),
                // The user may not read the activity of the server.
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }

    /// Writes, and keeps the success in `state`, which stays locked until the write has ended.
    async fn commit(
        &self,
        server: &Arc<CachedConnection<Server>>,
        session: Arc<Session>,
        statement: &'static str,
        state: OwnedMutexGuard<State>,
    ) -> Result<(), Failure> {
        let statement = statement.to_owned();
        let explanation = Box::pin(self.explain(server, session.clone()));
        let write = query_or_cancel(server, session, statement, &self.cleanups, state);
        let result = tokio::select! {
            result = write => result,
            never = explanation => match never {},
        };
        let (_, mut state) = result.map_err(|cause| Failure::new(STEP, cause))?;
        self.steps.begin(STEP);
        state.trust(self.writes.every);
        state.unproven = None;
        Ok(())
    }

    /// Looks for the reason of a slow commit on a second connection, for the failure of a run that times out.
    async fn explain(&self, server: &CachedConnection<Server>, busy: Arc<Session>) -> Infallible {
        let look = |session: Arc<Session>| async move {
            query_activity(&session).await.map_err(|cause| Failure::new(STEP, cause))
        };
        sleep(SLOW).await;
        loop {
            // Without a second connection, the reason remains unknown.
            if let Ok(Some(Some(wait))) = server.run_beside(&busy, &Steps::new(), look).await {
                self.steps.begin_with(STEP, NO_ANSWER, wait);
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

impl State {
    fn is_current(&self) -> bool {
        self.current_until.is_some_and(|until| Instant::now() < until)
    }

    fn trust(&mut self, duration: Duration) {
        self.current_until = Instant::now().checked_add(duration);
    }

    fn log_unproven(&mut self, server: &str, reason: String) {
        if self.unproven.as_ref() != Some(&reason) {
            tracing::warn!(server, reason, "commits not proven");
            self.unproven = Some(reason);
        }
    }
}

/// What the write that is under way waits for, if there is one and that is known.
type Activity = Result<Option<Option<&'static str>>, Cause>;

async fn query_activity(session: &Session) -> Activity {
    let rows = session.query(ACTIVITY_QUERY).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let value = |column| row.try_get(column).ok().flatten();
    Ok(Some(match (value(0), value(1)) {
        (_, Some("SyncRep")) => Some("waits for a synchronous standby"),
        (Some("Lock"), _) => Some("waits for a lock"),
        _ => None,
    }))
}
