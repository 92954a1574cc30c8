//! The probe under test, as its own tests describe it.

use std::fmt;
use std::net::SocketAddr;

use probe::Kind;

/// A probe, one right configuration of it, and the real server to which this configuration leads.
pub struct Subject {
    /// The probe.
    pub kind: Kind,
    /// The name of the section; nothing may depend on it.
    pub section: &'static str,
    /// The section's TOML, with the given address in place of the server's.
    pub config: Box<dyn Fn(SocketAddr) -> String + Send>,
    /// The real server, which works.
    pub upstream: SocketAddr,
    /// Every secret in the configuration, as the server knows it: decoded. Nothing that leaves the probe may hold one.
    ///
    /// The server must insist on each: with another in its place, the checks may not all say that they work.
    pub secrets: Vec<String>,
    /// How many connections the component keeps to the server at rest, all its checks together.
    ///
    /// None at all means that each run of a check opens one of its own, because a new connection is what its clients need.
    pub connections: usize,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("section", &self.section).finish_non_exhaustive()
    }
}
