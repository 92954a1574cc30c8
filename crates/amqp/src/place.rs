//! The settings that say where a broker is, read from a URL and checked.
//!
//! The URL: <https://www.rabbitmq.com/docs/uri-spec>.

use probe::Secret;
use probe::config::{Fields, Url};

/// The schemes of a broker's URL; the `s` stands for TLS.
pub const SCHEMES: &[&str] = &["amqp", "amqps"];

/// The longest name in the protocol, in bytes.
const LONGEST_NAME: usize = 255;

/// One virtual host of one broker, as one user.
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) virtual_host: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) tls: Option<tls::Settings>,
    /// What the names of our own queues begin with.
    pub(crate) queue_prefix: String,
    pub(crate) target: String,
}

impl Place {
    /// What `url`, which stands under `key`, says; what is wrong with it is noted.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        key: &'static str,
        url: &Url,
        settings: &tls::Settings,
        queue_prefix: String,
    ) -> Option<Self> {
        let encrypted = is_encrypted(url);
        let default_port = if encrypted { 5671 } else { 5672 };
        let virtual_host = virtual_host(url)
            .map_err(|message| fields.error(key, message))
            .ok()
            .filter(|_| no_query(fields, key, url))?;
        if !is_name(&queue_prefix) {
            fields.error("queue_prefix", "expected at most 200 bytes");
            return None;
        }
        // As every client does: the user that a broker has by default.
        let (username, password) = match (url.username(), url.password()) {
            ("", None) => ("guest".to_owned(), Secret::new("guest")),
            (username, password) => {
                (username.to_owned(), password.cloned().unwrap_or_else(|| Secret::new("")))
            }
        };
        Some(Self {
            host: url.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(default_port),
            virtual_host,
            username,
            password,
            tls: encrypted.then(|| settings.clone()),
            queue_prefix,
            target: url.authority(default_port),
        })
    }

    /// Everything that distinguishes this connection from others.
    pub(crate) fn identity(&self) -> Secret {
        let tls = self.tls.as_ref().map(|settings| settings.identity().expose());
        let server = (&self.host, self.port, &self.virtual_host, &self.queue_prefix);
        let user = (&self.username, self.password.expose());
        Secret::new(format!("{server:?} {user:?} {tls:?}"))
    }
}

/// Whether the URL asks for TLS.
pub fn is_encrypted(url: &Url) -> bool {
    url.scheme() == "amqps"
}

/// The path is the virtual host, percent-encoded. No path, `/` and `//`, which Celery's users write, are all the default one, `/`.
fn virtual_host(url: &Url) -> Result<String, String> {
    let name = url.decoded_path()?;
    let name = name.strip_prefix('/').unwrap_or(&name);
    match name {
        "" => Ok("/".to_owned()),
        name if name.len() > LONGEST_NAME => {
            Err(format!("expected a virtual host of at most {LONGEST_NAME} bytes"))
        }
        name => Ok(name.to_owned()),
    }
}

fn no_query(fields: &mut Fields<'_>, key: &'static str, url: &Url) -> bool {
    let none = url.query().is_empty();
    if !none {
        fields.error(key, "expected no `?` and no parameters");
    }
    none
}

/// With what follows it, a prefix must still be a name.
fn is_name(prefix: &str) -> bool {
    prefix.len() <= 200
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
