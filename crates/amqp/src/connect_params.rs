//! The address of a broker and the credentials, parsed from a URL.
//!
//! The format of the URL: <https://www.rabbitmq.com/docs/uri-spec>.

use probe::config::{Fields, Url};
use probe::{Reconnect, Secret};

/// The schemes of a broker's URL, without and with TLS.
pub const SCHEMES: &[&str] = &["amqp", "amqps"];

/// The longest name in the protocol, in bytes.
const MAX_NAME: usize = 255;

/// The longest queue prefix, in bytes. The whole name must not exceed [`MAX_NAME`].
const MAX_QUEUE_PREFIX: usize = 200;

/// One virtual host of one broker, as one user.
pub(crate) struct ConnectParams {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) virtual_host: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) tls: Option<net::TlsSettings>,
    /// The beginning of the names of the gateway's queues.
    pub(crate) queue_prefix: String,
    pub(crate) target: String,
}

impl ConnectParams {
    /// Parses `url`, the value of `key`, and records errors in `fields`.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        key: &'static str,
        url: &Url,
        tls: &net::TlsSettings,
        queue_prefix: String,
    ) -> Option<Self> {
        let encrypted = is_encrypted(url);
        let default_port = if encrypted { 5671 } else { 5672 };
        let virtual_host = virtual_host(url)
            .map_err(|message| fields.error(key, message))
            .ok()
            .filter(|_| expect_no_query(fields, key, url))?;
        if queue_prefix.len() > MAX_QUEUE_PREFIX {
            fields.error("queue_prefix", "expected at most 200 bytes");
            return None;
        }
        // Other clients default to this user as well.
        let (username, password) = match (url.username(), url.password()) {
            ("", None) => ("guest".to_owned(), Secret::new("guest")),
            (username, password) => {
                (username.to_owned(), password.cloned().unwrap_or_else(|| Secret::new("")))
            }
        };
        Some(Self {
            host: url.host().to_owned(),
            port: url.port().unwrap_or(default_port),
            virtual_host,
            username,
            password,
            tls: encrypted.then(|| tls.clone()),
            queue_prefix,
            target: url.authority(default_port),
        })
    }

    /// The key of the shared connection: everything that distinguishes it from others.
    pub(crate) fn identity(&self, reconnect: Reconnect) -> Secret {
        let tls = self.tls.as_ref().map(|tls| tls.identity().expose());
        let server = (&self.host, self.port, &self.virtual_host, &self.queue_prefix);
        let user = (&self.username, self.password.expose());
        Secret::new(format!("{server:?} {user:?} {reconnect:?} {tls:?}"))
    }

    /// The key of the refused logins: the broker, the user and the password. All virtual hosts share them.
    pub(crate) fn login_key(&self) -> Secret {
        let user = (&self.username, self.password.expose());
        Secret::new(format!("{} {} {user:?}", self.host, self.port))
    }
}

/// Whether the scheme of the URL requires TLS.
pub fn is_encrypted(url: &Url) -> bool {
    url.scheme() == "amqps"
}

/// The virtual host, which is the decoded path. An empty path, `/` and `//` (common in Celery's settings) mean the default one, `/`.
fn virtual_host(url: &Url) -> Result<String, String> {
    let name = url.decoded_path()?;
    let name = name.strip_prefix('/').unwrap_or(&name);
    match name {
        "" => Ok("/".to_owned()),
        name if name.len() > MAX_NAME => {
            Err(format!("expected a virtual host of at most {MAX_NAME} bytes"))
        }
        name => Ok(name.to_owned()),
    }
}

fn expect_no_query(fields: &mut Fields<'_>, key: &'static str, url: &Url) -> bool {
    let is_empty = url.parameters().is_empty();
    if !is_empty {
        fields.error(key, "expected no `?` and no parameters");
    }
    is_empty
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_virtual_host(text: &str, expected: &str) {
        assert_eq!(virtual_host(&Url::parse(text).expect("a URL")).expect("a host"), expected);
    }

    #[test]
    fn the_path_is_the_virtual_host() {
        check_virtual_host("amqp://h", "/");
        check_virtual_host("amqp://h/", "/");
        check_virtual_host("amqp://h//", "/");
        check_virtual_host("amqp://h/%2F", "/");
        check_virtual_host("amqp://h/app", "app");
        check_virtual_host("amqp://h/%2Fapp%20one", "/app one");
    }
}
