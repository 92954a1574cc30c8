//! The probe under test, as its own tests describe it.

use std::fmt;
use std::net::SocketAddr;

use probe::Kind;

use crate::Hostile;

/// A probe, a valid configuration of it, and the real server that the configuration leads to.
pub struct Subject {
    /// The probe.
    pub kind: Kind,
    /// The name of the section. The probe may not depend on it.
    pub section: &'static str,
    /// Writes the section's TOML, with the given address in place of the server's.
    pub config: Box<dyn Fn(SocketAddr) -> String + Send>,
    /// The real server. It must be healthy.
    pub upstream: SocketAddr,
    /// Every secret in the configuration, decoded, as the server knows it. No output of the probe may contain one.
    ///
    /// The server must require each of them: with another value in its place, at least one check must fail.
    pub secrets: Vec<String>,
    /// How many connections the component holds to the server at rest, all its checks together.
    ///
    /// 0 means that each run of a check opens a connection of its own, because a new connection is what is tested.
    pub connections: usize,
    /// Answers in the protocol of the server, each of which must end a check with a failure.
    pub hostile: Vec<Hostile>,
}

impl Subject {
    /// A subject without secrets and without hostile answers that holds one connection at rest.
    pub fn new(
        kind: Kind,
        section: &'static str,
        upstream: SocketAddr,
        config: impl Fn(SocketAddr) -> String + Send + 'static,
    ) -> Self {
        let config = Box::new(config);
        let (secrets, hostile) = (Vec::new(), Vec::new());
        Self { kind, section, config, upstream, secrets, connections: 1, hostile }
    }

    /// Adds a secret of the configuration.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Sets the number of connections at rest.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Sets the hostile answers.
    #[must_use]
    pub fn with_hostile(self, hostile: Vec<Hostile>) -> Self {
        Self { hostile, ..self }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("section", &self.section).finish_non_exhaustive()
    }
}
