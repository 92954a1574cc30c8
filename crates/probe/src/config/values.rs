//! The types of settings, and how each is read from a value.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Node, Value};
use crate::{Failure, Secret};

/// Why a value could not be read.
#[derive(Clone, Debug)]
pub enum ValueError {
    /// It is wrong. The text says what would be right, without quoting it.
    Wrong(String),
    /// It is not known yet; see [`Value::Unknown`].
    Unknown(Failure),
}

impl ValueError {
    /// A value of another type than `what`.
    pub fn expected(what: &str, found: &Value) -> Self {
        Self::Wrong(format!("expected {what}, found {}", found.kind()))
    }
}

impl From<String> for ValueError {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

/// A type that a setting can have.
pub trait FromNode: Sized {
    /// Reads a value.
    fn from_node(node: &Node) -> Result<Self, ValueError>;
}

impl FromNode for String {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::String(text) => Ok(text.clone()),
            Value::Unknown(failure) => Err(ValueError::Unknown(failure.clone())),
            other => Err(ValueError::expected("a string", other)),
        }
    }
}

impl FromNode for Secret {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        String::from_node(node).map(Self::new)
    }
}

impl FromNode for bool {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::Boolean(flag) => Ok(*flag),
            other => Err(ValueError::expected("`true` or `false`", other)),
        }
    }
}

impl FromNode for u64 {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::Integer(number) => Self::try_from(*number)
                .map_err(|_| ValueError::Wrong("expected a number of at least 0".to_owned())),
            other => Err(ValueError::expected("a whole number", other)),
        }
    }
}

impl FromNode for u16 {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        Self::try_from(u64::from_node(node)?)
            .map_err(|_| ValueError::Wrong(format!("expected a number of at most {}", Self::MAX)))
    }
}

/// A whole number with one of the units `ms`, `s`, `m` and `h`.
impl FromNode for Duration {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        let wrong = || "expected a duration such as `250ms`, `3s`, `5m` or `1h`".to_owned();
        let Value::String(text) = &node.value else {
            return Err(String::from_node(node).map_or_else(
                |error| match error {
                    ValueError::Wrong(_) => {
                        ValueError::Wrong(format!("{}, found {}", wrong(), node.value.kind()))
                    }
                    unknown @ ValueError::Unknown(_) => unknown,
                },
                |_| wrong().into(),
            ));
        };
        let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit);
        let milliseconds = match unit.trim_start() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong().into()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(milliseconds).map(Self::from_millis).ok_or_else(|| wrong().into())
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        match &node.value {
            Value::Array(items) => items.iter().map(T::from_node).collect(),
            other => Err(ValueError::expected("an array", other)),
        }
    }
}

/// The URL of a backend. It prints without its user-info and its query, which may contain secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: Secret,
    parsed: url::Url,
    username: String,
    password: Option<Secret>,
    // Never read. While it is alive, the percent-encoded password is masked as well.
    _encoded_password: Option<Secret>,
}

impl Url {
    /// Parses a URL. The error says what is wrong and quotes nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed = url::Url::parse(text)
            .map_err(|error| format!("expected a URL such as `scheme://host:port`: {error}"))?;
        if !parsed.has_host() || parsed.host_str().is_some_and(str::is_empty) {
            return Err("expected a URL such as `scheme://host:port`: it has no host".to_owned());
        }
        let decode = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| "expected a URL with user-info in percent-encoded UTF-8".to_owned())
        };
        let username = decode(parsed.username())?;
        let password = parsed.password().map(decode).transpose()?.map(Secret::new);
        let encoded_password = parsed.password().map(Secret::new);
        Ok(Self {
            text: Secret::new(text),
            parsed,
            username,
            password,
            _encoded_password: encoded_password,
        })
    }

    /// The whole URL as written, user-info included.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// The scheme, in lower case.
    pub fn scheme(&self) -> &str {
        self.parsed.scheme()
    }

    /// The host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.parsed.host_str().unwrap_or_default()
    }

    /// The port, if the URL names one or its scheme has a well-known one.
    pub fn port(&self) -> Option<u16> {
        self.parsed.port_or_known_default()
    }

    /// The user name, decoded; empty if there is none.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The password, decoded.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The path as written, percent-encoded.
    pub fn path(&self) -> &str {
        self.parsed.path()
    }

    /// The path and the query as in a request line, percent-encoded. The query may contain a secret.
    pub fn path_and_query(&self) -> &str {
        &self.parsed[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// The path, decoded. The error says what is wrong and quotes nothing.
    pub fn decoded_path(&self) -> Result<String, String> {
        let decoded = percent_decode_str(self.path()).decode_utf8();
        decoded
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| "expected a URL with a path in percent-encoded UTF-8".to_owned())
    }

    /// The parameters of the query, decoded and in order.
    pub fn query(&self) -> Vec<(String, String)> {
        self.parsed.query_pairs().into_owned().collect()
    }

    /// `host:port`, with `default_port` if the URL has no port.
    pub fn authority(&self, default_port: u16) -> String {
        format!("{}:{}", self.host(), self.port().unwrap_or(default_port))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{}{port}{}", self.scheme(), self.host(), self.path())
    }
}

impl FromNode for Url {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        Ok(Self::parse(&String::from_node(node)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Option<Duration> {
        Duration::from_node(&Node { line: 1, value: Value::String(text.into()) }).ok()
    }

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("3 s"), Some(Duration::from_secs(3)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        for wrong in [
            "",
            "3",
            "s",
            "-1s",
            "1.5s",
            "3 days",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_prints_without_its_credentials() {
        let url = Url::parse("redis://me:p%40ss-word@cache:6379/1").expect("a URL");
        assert_eq!(format!("{url:?}"), "redis://cache:6379/1");
        assert_eq!(url.username(), "me");
        assert_eq!(url.password().map(Secret::expose), Some("p@ss-word"));
        assert_eq!(url.authority(1), "cache:6379");
    }

    #[test]
    fn a_bad_url_is_not_quoted() {
        let error = Url::parse("redis://:hunter2@cache:port").expect_err("a bad port");
        assert_eq!(error, "expected a URL such as `scheme://host:port`: invalid port number");
    }
}
