//! The servers of a Redis deployment and the credentials for them.

use std::fmt;

use probe::{Secret, step};

/// The step of the first reply when there are no credentials.
pub(crate) const HANDSHAKE: &str = "handshake";

/// Everything that distinguishes one connection from another, which does not include the database.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) layout: Layout,
    /// The servers that the URL names: some nodes of a cluster, or the sentinels.
    pub(crate) nodes: Vec<Node>,
    pub(crate) credentials: Credentials,
    pub(crate) tls: Option<Tls>,
}

/// How connections are encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) settings: net::TlsSettings,
    pub(crate) pem_files: net::PemFiles,
    pub(crate) verification: net::Verification,
}

/// The topology of the deployment.
#[derive(Debug)]
pub(crate) enum Layout {
    Single,
    Cluster,
    Sentinel { service: String, credentials: Credentials },
}

/// The address of one server. The brackets of an IPv6 address are part of `host`.
/// A `host` that begins with `/` is the path of a Unix socket, which has no port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A user name and a password. Without a password, the connection is not authenticated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
}

impl Deployment {
    /// The key of the connection in the shared resources.
    pub(crate) fn identity(&self) -> Secret {
        let tls = self.tls.as_ref().map_or("", |tls| tls.settings.identity().expose());
        let url = self.tls.as_ref().map(|tls| (tls.verification, &tls.pem_files));
        let (layout, service, sentinel) = match &self.layout {
            Layout::Single => ("single", "", &Credentials::default()),
            Layout::Cluster => ("cluster", "", &Credentials::default()),
            Layout::Sentinel { service, credentials } => {
                ("sentinel", service.as_str(), credentials)
            }
        };
        let nodes: Vec<_> = self.nodes.iter().map(Node::to_string).collect();
        let (user, sentinel_user) = (self.credentials.identity(), sentinel.identity());
        let parts = [
            layout,
            service,
            &nodes.join(","),
            user.expose(),
            sentinel_user.expose(),
            &format!("{url:?}"),
            tls,
        ];
        Secret::unmasked(parts.join("\0"))
    }
}

impl Node {
    /// The address of `host`, with or without the brackets of an IPv6 address.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        let bracketed = host.contains(':') && !host.starts_with(['[', '/']);
        let host = if bracketed { format!("[{host}]") } else { host.to_owned() };
        Self { host, port }
    }

    /// The path, if this is a Unix socket.
    pub(crate) fn socket(&self) -> Option<&str> {
        Some(self.host.as_str()).filter(|host| host.starts_with('/'))
    }

    /// The host without the brackets of an IPv6 address.
    pub(crate) fn bare_host(&self) -> &str {
        let inner = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.unwrap_or(&self.host)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket() {
            Some(path) => f.write_str(path),
            None => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Credentials {
    /// A user without a password gets an empty one. Without `AUTH`, the server would assign the connection to its default user.
    pub(crate) fn new(username: &str, password: Option<Secret>) -> Self {
        let username = Some(username.to_owned()).filter(|name| !name.is_empty());
        let password = password.or_else(|| username.is_some().then(|| Secret::new("")));
        Self { username, password }
    }

    /// The step of the server's first reply.
    pub(crate) fn step(&self) -> &'static str {
        if self.password.is_some() { step::AUTHENTICATE } else { HANDSHAKE }
    }

    fn identity(&self) -> Secret {
        let password = self.password.as_ref().map(Secret::expose);
        Secret::formatted(format_args!("{:?} {password:?}", self.username))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_password_is_not_the_default_user() {
        let credentials = Credentials::new("me", None);
        assert_eq!(credentials.password.expect("a password").expose(), "");
        assert!(Credentials::new("", None).password.is_none());
    }
}
