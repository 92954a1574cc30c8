//! Request headers with values that may be secrets.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_client::secret_header;
use probe::Secret;
use probe::config::{Fields, FromNode, Node, Url, ValueError};

/// Headers that the HTTP client sets itself.
const RESERVED: &[&str] = &["connection", "content-length", "transfer-encoding", "upgrade"];

/// The headers of a request.
pub(crate) struct SecretHeaders {
    map: HeaderMap,
    // Never read: a live `Secret` is masked in all output.
    secrets: Vec<Secret>,
}

impl SecretHeaders {
    /// Reads the table `headers`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let headers = fields.named("headers", header)?;
        let (mut map, mut secrets) = (HeaderMap::new(), Vec::new());
        for (name, value, secret) in headers {
            if name == AUTHORIZATION
                && let Some((_, credentials)) = secret.expose().split_once(' ')
            {
                // A server may quote the credentials without the scheme.
                secrets.push(Secret::new(credentials));
            }
            secrets.push(secret);
            if map.insert(name, value).is_some() {
                fields.error("headers", "expected each name once, ignoring case");
                return None;
            }
        }
        Some(Self { map, secrets })
    }

    /// Adds the user in `url` as an `Authorization` header. Returns `false` if there is another one.
    pub(crate) fn add_user(&mut self, url: &Url) -> bool {
        let Some(value) = url.basic_auth() else { return true };
        let is_new = !self.map.contains_key(AUTHORIZATION);
        if let (true, Some(header)) = (is_new, secret_header(&value)) {
            self.map.insert(AUTHORIZATION, header);
            self.secrets.push(value);
        }
        is_new
    }

    /// The headers.
    pub(crate) fn map(&self) -> &HeaderMap {
        &self.map
    }
}

fn header(name: &str, node: &Node) -> Result<(HeaderName, HeaderValue, Secret), ValueError> {
    let secret = Secret::from_node(node)?;
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "expected the name of an HTTP header".to_owned())?;
    if RESERVED.contains(&name.as_str()) {
        return Err("expected another header: the HTTP client sets this one itself"
            .to_owned()
            .into());
    }
    let value =
        secret_header(&secret).ok_or_else(|| "expected a value without line breaks".to_owned())?;
    Ok((name, value, secret))
}
