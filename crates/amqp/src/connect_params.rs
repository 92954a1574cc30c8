//! The addresses of a broker and the credentials, parsed from URLs.
//!
//! The format of a URL: <https://www.rabbitmq.com/docs/uri-spec>.

use std::fmt;

use probe::config::{
    Fields, FromNode, Node, Url, UrlParts, UrlText, ValueError, percent_decode, split_urls,
};
use probe::{Reconnect, Secret};

use crate::parameters;

/// The schemes of a broker's URL, the second with TLS. The others are kombu's names of its transports for it.
const SCHEMES: [&str; 4] = ["amqp", "amqps", "pyamqp", "librabbitmq"];

/// The longest name in the protocol, in bytes.
const MAX_NAME: usize = 255;

/// The longest queue prefix, in bytes. The whole name must not exceed [`MAX_NAME`].
const MAX_QUEUE_PREFIX: usize = 200;

/// The URL of a broker, or the URLs of several, separated by `;`, of which the first that can be reached is used, as kombu does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrls {
    first: Url,
    others: Vec<Url>,
}

impl BrokerUrls {
    /// Whether a URL has a scheme of this protocol.
    pub fn has_scheme(text: &str) -> bool {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_lowercase());
        scheme.is_some_and(|scheme| SCHEMES.contains(&&*scheme))
    }

    /// Parses one or more URLs. The error says what is wrong and quotes nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let urls = split_urls(text).into_iter().map(|text| {
            // kombu begins another URL with it, and pika ends the path.
            if text.contains(';') {
                return Err(
                    "expected every `;` that is not before a URL to be written as `%3B`".to_owned()
                );
            }
            if UrlParts::split(text)?.hosts.contains(',') {
                return Err("expected a whole URL for each of several servers, as in `amqp://a/app;amqp://b/app`".to_owned());
            }
            let url = Url::parse(text)?;
            if SCHEMES.contains(&url.scheme()) {
                return Ok(url);
            }
            Err("expected a URL that begins with `amqp://` or `amqps://`".to_owned())
        });
        let mut urls = urls.collect::<Result<Vec<_>, _>>()?;
        let first = urls.remove(0);
        Ok(Self { first, others: urls })
    }

    /// The first URL.
    pub fn first(&self) -> &Url {
        &self.first
    }

    /// Whether one of them requires TLS.
    pub fn is_encrypted(&self) -> bool {
        self.iter().any(is_encrypted)
    }

    fn iter(&self) -> impl Iterator<Item = &Url> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl FromNode for BrokerUrls {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        Ok(Self::parse(UrlText::from_node(node)?.expose())?)
    }
}

/// A broker, as one user, at one or more addresses.
pub(crate) struct ConnectParams {
    /// At least one, in the order in which they are tried.
    pub(crate) servers: Vec<Server>,
    /// The beginning of the names of the gateway's queues.
    pub(crate) queue_prefix: String,
}

/// One virtual host of one server, as one user.
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) virtual_host: String,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) tls: Option<net::TlsSettings>,
}

impl ConnectParams {
    /// Reads `urls`, the value of `key`, and records errors in `fields`.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        key: &'static str,
        urls: &BrokerUrls,
        tls: &net::TlsSettings,
        queue_prefix: String,
    ) -> Option<Self> {
        let (mut servers, mut ignored) = (Vec::new(), Vec::new());
        for url in urls.iter() {
            let has_setting = |setting: &str| fields.has(setting);
            let unknown = parameters::read(url.parameters(), is_encrypted(url), has_setting);
            let read = unknown.and_then(|names| {
                ignored.extend(names);
                Server::read(url, tls)
            });
            servers.push(read.map_err(|message| fields.error(key, message)).ok()?);
        }
        if !ignored.is_empty() {
            ignored.sort_unstable();
            ignored.dedup();
            let ignored: Vec<_> = ignored.iter().map(|name| format!("`{name}`")).collect();
            fields.note(key, format!("ignored here: {}", ignored.join(", ")));
        }
        if queue_prefix.len() > MAX_QUEUE_PREFIX {
            fields.error("queue_prefix", "expected at most 200 bytes");
            return None;
        }
        Some(Self { servers, queue_prefix })
    }

    /// The server that failures and grants name.
    pub(crate) fn first(&self) -> &Server {
        &self.servers[0]
    }

    /// The key of the shared connection: everything that distinguishes it from others.
    pub(crate) fn identity(&self, reconnect: Reconnect) -> Secret {
        let servers: Vec<_> = self
            .servers
            .iter()
            .map(|server| {
                let tls = server.tls.as_ref().map(|tls| tls.identity().expose());
                (server.login(), &server.virtual_host, tls)
            })
            .collect();
        Secret::formatted(format_args!("{servers:?} {:?} {reconnect:?}", self.queue_prefix))
    }

    /// The key of the refused logins: the broker, the user and the password. All virtual hosts share them.
    pub(crate) fn login_key(&self) -> Secret {
        let logins: Vec<_> = self.servers.iter().map(Server::login).collect();
        Secret::formatted(format_args!("{logins:?}"))
    }
}

impl Server {
    fn read(url: &Url, tls: &net::TlsSettings) -> Result<Self, String> {
        let encrypted = is_encrypted(url);
        let password = url.password().filter(|password| !password.expose().is_empty());
        // kombu and the clients in Java and Go default to this user and this password as well.
        let (username, password) = match (url.username(), password) {
            ("", None) => ("guest".to_owned(), Secret::new("guest")),
            (username, None) => (username.to_owned(), Secret::new("guest")),
            ("", Some(_)) => return Err("expected a user before the password".to_owned()),
            (username, Some(password)) => (username.to_owned(), password.clone()),
        };
        Ok(Self {
            host: url.host().to_owned(),
            port: url.port().unwrap_or(if encrypted { 5671 } else { 5672 }),
            virtual_host: virtual_host(url)?,
            username,
            password,
            tls: encrypted.then(|| tls.clone()),
        })
    }

    fn login(&self) -> (&str, u16, &str, &str) {
        (&self.host, self.port, &self.username, self.password.expose())
    }
}

/// The `host:port`.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Whether the scheme of the URL requires TLS.
fn is_encrypted(url: &Url) -> bool {
    url.scheme() == "amqps"
}

/// The virtual host, which is the decoded path. An empty path, `/` and `//` (common in Celery's settings) mean the default one, `/`.
fn virtual_host(url: &Url) -> Result<String, String> {
    let path = url.path();
    let path = path.strip_prefix('/').unwrap_or(path);
    // kombu takes the whole path, and pika what is before the second slash.
    if path != "/" && path.contains('/') {
        return Err("expected every `/` in the virtual host to be written as `%2F`".to_owned());
    }
    match &*percent_decode(path, "a path")? {
        "" | "/" => Ok("/".to_owned()),
        name if name.len() > MAX_NAME => {
            Err(format!("expected a virtual host of at most {MAX_NAME} bytes"))
        }
        name => Ok(name.to_owned()),
    }
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
        check_virtual_host("amqp://h/a%2Fb", "a/b");
        check_virtual_host("amqp://h/..", "..");
        check_virtual_host("amqp://h/a%40b", "a@b");
        for text in ["amqp://h/a/b", "amqp://h/a/", "amqp://h//a", "amqp://h/%2f/messages"] {
            let url = Url::parse(text).expect("a URL");
            let error = virtual_host(&url).expect_err(text);
            assert_eq!(error, "expected every `/` in the virtual host to be written as `%2F`");
        }
    }

    #[test]
    fn what_is_missing_of_a_login_is_guest() {
        let login = |text: &str| {
            let url = Url::parse(text).expect("a URL");
            let server = Server::read(&url, &net::TlsSettings::default())?;
            Ok((server.username, server.password.expose().to_owned()))
        };
        let user = |name: &str, password: &str| Ok((name.to_owned(), password.to_owned()));
        assert_eq!(login("amqp://u:p%3Bq@h"), user("u", "p;q"));
        assert_eq!(login("amqp://h"), user("guest", "guest"));
        assert_eq!(login("amqp://:@h"), user("guest", "guest"));
        assert_eq!(login("pyamqp://guest@localhost//"), user("guest", "guest"));
        for text in ["amqp://u@h", "amqp://u:@h"] {
            assert_eq!(login(text), user("u", "guest"), "{text}");
        }
        assert_eq!(login("amqp://:p@h"), Err("expected a user before the password".to_owned()));
    }

    #[test]
    fn several_urls_are_separated_by_semicolons() {
        let urls = BrokerUrls::parse("amqp://u:p@a/v;pyamqp://b:7/w;amqps://c").expect("URLs");
        let servers: Vec<_> = urls.iter().map(|url| url.authority(5672)).collect();
        assert_eq!(servers, ["a:5672", "b:7", "c:5672"]);
        assert!(urls.is_encrypted());
        for text in ["amqp://a/v;w", "amqp://u:p;q@a", "amqp://a;b"] {
            let error = BrokerUrls::parse(text).expect_err(text);
            assert_eq!(error, "expected every `;` that is not before a URL to be written as `%3B`");
        }
        for text in ["amqp://a,b", "amqp://u:p@a:1,b:2/v"] {
            let error = BrokerUrls::parse(text).expect_err(text);
            assert!(
                error.starts_with("expected a whole URL for each of several servers"),
                "{error}"
            );
        }
        for text in ["amqp://a;redis://b", "redis://a", "py-amqp://a"] {
            let error = BrokerUrls::parse(text).expect_err(text);
            assert_eq!(error, "expected a URL that begins with `amqp://` or `amqps://`");
        }
    }
}
