//! What a check holds of its Redis: the connection it shares, and the database in it.

use std::sync::Arc;

use probe::config::{Fields, Url};
use probe::{CachedConnection, Failure, Secret, SharedResources, Steps};

use crate::connection::Connector;
use crate::deployment::Layout;
use crate::place::{Place, SCHEMES, is_encrypted};
use crate::{Answer, Command};

/// One database of one deployment. Everything that names the same deployment shares one connection to it.
#[derive(Debug)]
pub struct Redis {
    pub(crate) kept: Arc<CachedConnection<Connector>>,
    database: u16,
    cluster: bool,
    fresh: bool,
    target: String,
}

impl Redis {
    /// Reads `url`, `ca`, `certificate`, `private_key` and `connection`; what is wrong is noted in `fields`.
    pub fn read(shared: &SharedResources, fields: &mut Fields<'_>) -> Option<Self> {
        let fresh = fields.one_of("connection", &[("kept", false), ("fresh", true)]);
        let url = fields.url("url", SCHEMES);
        let settings = net::TlsSettings::read(fields);
        let (url, settings) = (url?, settings?);
        settings.expect_use(fields, is_encrypted(&url), "a `url` that begins with `rediss`")?;
        Some(Self { fresh: fresh?, ..Self::at(shared, fields, "url", &url, &settings)? })
    }

    /// The Redis that `url` names, which stands under `key`; what is wrong with it is noted in `fields`.
    pub fn at(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        key: &'static str,
        url: &Url,
        settings: &net::TlsSettings,
    ) -> Option<Self> {
        let Place { deployment, database, target } = Place::read(fields, key, url, settings)?;
        let cluster = matches!(deployment.layout, Layout::Cluster);
        let identity = deployment.identity();
        let kept =
            shared.get_or_insert(&identity, || CachedConnection::new(Connector::new(deployment)));
        Some(Self { kept, database, cluster, fresh: false, target })
    }

    /// The same on a connection of its own, for commands that wait: whoever shares a connection with them would wait, too.
    #[must_use]
    pub fn apart(&self) -> Self {
        let kept = Arc::new(CachedConnection::new(self.kept.connector().clone()));
        Self { kept, target: self.target.clone(), ..*self }
    }

    /// What distinguishes this database of this deployment from others, for the key of something shared.
    pub fn identity(&self) -> Secret {
        let deployment = self.kept.connector().identity();
        Secret::new(format!("{}\0{}", deployment.expose(), self.database))
    }

    /// The number of the database.
    pub fn database(&self) -> u16 {
        self.database
    }

    /// The server's `host:port`, as failures name it.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether this is a cluster, where a command without a key asks just any node.
    pub fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// Sends `commands` in one round trip and gives their answers; the first one refused is the failure.
    pub async fn ask(&self, steps: &Steps, commands: &[Command]) -> Result<Vec<Answer>, Failure> {
        let ask = |connection: Arc<crate::connection::Connection>| async move {
            steps.begin(commands.first().map_or("handshake", |command| command.step));
            connection.ask(self.database, commands).await
        };
        if self.fresh {
            self.kept.run_fresh(steps, ask).await
        } else {
            self.kept.run(steps, ask).await
        }
    }
}
