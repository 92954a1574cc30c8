//! One database of a deployment, on which checks execute commands.

use std::sync::Arc;

use probe::config::{Fields, UrlText};
use probe::{CachedConnection, Failure, LoginBackoff, Reconnect, Secret, SharedResources, Steps};

use crate::connect_params::{ConnectParams, SentinelSettings};
use crate::connection::{Connection, Connector};
use crate::deployment::{HANDSHAKE, Layout};
use crate::{Canary, Command, Reply, Script, Subscription};

/// One database of one deployment. All values of the same deployment share one connection to it.
#[derive(Debug)]
pub struct Redis {
    pub(crate) connection: Arc<CachedConnection<Connector>>,
    database: u16,
    cluster: bool,
    sentinel: bool,
    fresh: bool,
    target: String,
}

impl Redis {
    /// Reads `url`, the settings of TLS, `connection` and `reconnect`, and records errors in `fields`.
    pub fn read(shared: &SharedResources, fields: &mut Fields<'_>) -> Option<Self> {
        let fresh = fields.one_of("connection", &[("kept", false), ("fresh", true)]);
        let reconnect = Reconnect::read(fields);
        let url = fields.required::<UrlText>("url");
        let settings = net::TlsSettings::read(fields);
        let (url, settings) = (url?, settings?);
        let params =
            ConnectParams::read(fields, "url", &url, &settings, &SentinelSettings::default())?;
        settings.expect_use(fields, params.is_encrypted(), "a `url` that begins with `rediss`")?;
        Some(Self { fresh: fresh?, ..Self::new(shared, params, reconnect?) })
    }

    /// Reads the database from `url`, the value of `key`, and the settings of Sentinel beside it, and records errors in `fields`.
    pub fn from_url(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        key: &'static str,
        url: &UrlText,
        settings: &net::TlsSettings,
        sentinel: &SentinelSettings,
        reconnect: Reconnect,
    ) -> Option<Self> {
        let params = ConnectParams::read(fields, key, url, settings, sentinel)?;
        Some(Self::new(shared, params, reconnect))
    }

    fn new(shared: &SharedResources, params: ConnectParams, reconnect: Reconnect) -> Self {
        let ConnectParams { deployment, database, target } = params;
        let cluster = matches!(deployment.layout, Layout::Cluster);
        let sentinel = matches!(deployment.layout, Layout::Sentinel { .. });
        let logins = shared.get_or_insert(&deployment.identity(), LoginBackoff::default);
        let key =
            Secret::formatted(format_args!("{}\0{reconnect:?}", deployment.identity().expose()));
        let connection = shared.get_or_insert(&key, || {
            CachedConnection::with_logins(Connector::new(deployment), reconnect, logins)
        });
        Self { connection, database, cluster, sentinel, fresh: false, target }
    }

    /// The same database on its own connection, for blocking commands, which would delay all other commands on a shared one.
    #[must_use]
    pub fn dedicated(&self) -> Self {
        let (shared, logins) = (&self.connection, self.connection.logins().clone());
        let connector = shared.connector().clone();
        let connection =
            Arc::new(CachedConnection::with_logins(connector, shared.reconnect(), logins));
        Self { connection, target: self.target.clone(), ..*self }
    }

    /// The same database on the connection of all checks that write nothing. On that of the others, a write that the server holds back would delay them.
    #[must_use]
    pub fn for_reads(&self, shared: &SharedResources) -> Self {
        let writes = &self.connection;
        let (connector, reconnect) = (writes.connector(), writes.reconnect());
        let key = Secret::formatted(format_args!(
            "{}\0{reconnect:?}\0reads",
            connector.identity().expose()
        ));
        let connection = shared.get_or_insert(&key, || {
            CachedConnection::with_logins(connector.clone(), reconnect, writes.logins().clone())
        });
        Self { connection, target: self.target.clone(), ..*self }
    }

    /// The part of a shared resource's key that distinguishes this database of this deployment from others.
    pub fn identity(&self) -> Secret {
        let deployment = self.connection.connector().identity();
        Secret::formatted(format_args!("{}\0{}", deployment.expose(), self.database))
    }

    /// The number of the database.
    pub fn database(&self) -> u16 {
        self.database
    }

    /// The server's `host:port`, as in failures.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether this is a cluster, where a command without a key is sent to the first primary.
    pub fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// Whether this is the primary that Sentinel names.
    pub fn is_sentinel(&self) -> bool {
        self.sentinel
    }

    /// Sends `commands` in one round trip and returns their replies, or the failure of the first command that the server refuses.
    pub async fn execute(
        &self,
        steps: &Steps,
        commands: &[Command],
    ) -> Result<Vec<Reply>, Failure> {
        let execute = |connection: Arc<Connection>| async move {
            steps.begin(commands.first().map_or(HANDSHAKE, |command| command.step));
            connection.execute(steps, self.database, commands).await
        };
        self.run(steps, execute).await
    }

    /// Sends the `commands` for a canary in one round trip, and verifies their replies. In a cluster, each primary gets a canary of its own.
    ///
    /// A replica that is not connected to its primary fails, even if it accepts writes.
    pub async fn execute_canaries(
        &self,
        steps: &Steps,
        prefix: &str,
        commands: impl Fn(&Canary) -> Vec<Command> + Send + Sync,
        verify: impl Fn(&Canary, &[Reply]) -> Result<(), Failure> + Send + Sync,
    ) -> Result<(), Failure> {
        let (commands, verify) = (&commands, &verify);
        let execute = |connection: Arc<Connection>| async move {
            let canaries = connection.canaries(prefix);
            let commands: Vec<_> = canaries.iter().map(commands).collect();
            let all = commands.concat();
            steps.begin(all.first().map_or(HANDSHAKE, |command| command.step));
            let mut replies = connection.execute(steps, self.database, &all).await?.into_iter();
            for (canary, commands) in canaries.iter().zip(&commands) {
                let replies: Vec<_> = replies.by_ref().take(commands.len()).collect();
                verify(canary, &replies).map_err(|failure| connection.name(canary, failure))?;
            }
            connection.verify_role(steps).await
        };
        self.run(steps, execute).await
    }

    /// Runs `script` with the `key` that it accesses and further `arguments`, on the cached connection alone, however long that is silent.
    ///
    /// The server gets the text of the script only if it does not know it. A script must not return nil.
    pub async fn run_script(
        &self,
        steps: &Steps,
        step: &'static str,
        script: &Script,
        key: &str,
        arguments: &[&str],
    ) -> Result<Reply, Failure> {
        let run = |connection: Arc<Connection>| async move {
            steps.begin(step);
            let known = Command::script(step, "EVALSHA", script.digest(), key, arguments);
            let known = known.accepting("NOSCRIPT");
            let reply = connection.execute(steps, self.database, &[known]).await?.pop();
            if let Some(reply) = reply.filter(|reply| *reply != Reply::Nil) {
                return Ok(reply);
            }
            let whole = Command::script(step, "EVAL", script.text(), key, arguments);
            let reply = connection.execute(steps, self.database, &[whole]).await?.pop();
            Ok(reply.unwrap_or(Reply::Nil))
        };
        self.connection.run_unhedged(steps, run).await
    }

    /// Replaces the cached connection before it is too old, see [`CachedConnection::renew`].
    pub async fn renew(&self, steps: &Steps) -> Result<(), Failure> {
        self.connection.renew(steps).await
    }

    /// How long the cached connection is trusted.
    pub fn reconnect(&self) -> Reconnect {
        self.connection.reconnect()
    }

    /// Subscribes to `channels` on a connection of its own.
    pub async fn subscribe(
        &self,
        steps: &Steps,
        channels: &[String],
    ) -> Result<Subscription, Failure> {
        let open = Subscription::open(self.connection.connector().deployment(), steps, channels);
        self.connection.logins().attempt(open).await
    }

    async fn run<T, W, F>(&self, steps: &Steps, work: W) -> Result<T, Failure>
    where
        W: Fn(Arc<Connection>) -> F + Send + Sync,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        if self.fresh {
            self.connection.run_fresh(steps, work).await
        } else {
            self.connection.run(steps, work).await
        }
    }
}
