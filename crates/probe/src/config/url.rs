//! URLs of backends, split before any library parses them, and without secrets when they print.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use data_encoding::BASE64;
use percent_encoding::percent_decode_str;
use zeroize::Zeroize as _;

use super::{FromNode, Node, ValueError};
use crate::Secret;

/// Parts of the names of secret parameters, in lower case.
const SECRET_PARAMETERS: [&str; 5] = ["pass", "secret", "token", "key", "signature"];

/// The ends of the names of parameters that are no secrets, in lower case: paths and prefixes.
const PLAIN_PARAMETERS: [&str; 3] = ["file", "path", "prefix"];

/// The text of a URL with credentials. As a whole it is not masked, and therefore wiped as soon as it is dropped: its user-info is masked wherever it occurs, and so are the passwords that are split off.
#[derive(Clone, Debug)]
pub struct UrlText(Secret);

impl UrlText {
    /// The text itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl FromNode for UrlText {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        String::from_node(node).map(|text| Self(Secret::unmasked(text)))
    }
}

/// A URL split into its parts, as RFC 3986 defines them: `scheme://user:password@authority/path?query#fragment`.
///
/// The authority ends at the first `/`, `?` or `#`, and the user-info at the only `@` in it.
/// A second `@` is an error: clients disagree about which one ends the user-info, and a client that picks the wrong one shows a part of the password as the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UrlParts<'a> {
    /// The scheme as written.
    pub scheme: &'a str,
    /// The user name, percent-encoded; empty if there is none.
    pub username: &'a str,
    /// The password, percent-encoded.
    pub password: Option<&'a str>,
    /// Hosts and ports, percent-encoded.
    pub hosts: &'a str,
    /// The path with its leading slash, percent-encoded; empty if there is none.
    pub path: &'a str,
    /// The query, percent-encoded; empty if there is none.
    pub query: &'a str,
}

impl<'a> UrlParts<'a> {
    /// Splits `text`. The error says what would be right and quotes nothing.
    pub fn split(text: &'a str) -> Result<Self, String> {
        // Some clients leave them out, and others take them as a part of a name.
        if text.contains(char::is_control) || text.trim() != text {
            let message = "expected a URL without line ends and other control characters, and without a space at either end";
            return Err(message.to_owned());
        }
        let (scheme, rest) = text
            .split_once("://")
            .filter(|(scheme, _)| is_scheme(scheme))
            .ok_or("expected a URL such as `scheme://host:port`")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (user_info, hosts) = match authority.split_once('@') {
            // Clients disagree about which `@` ends the user-info, also if a `?` in the password ends the authority before the second.
            Some((_, hosts)) if hosts.contains('@') || rest.contains('@') => {
                return Err(
                    "expected every `@` but the one before the host to be written as `%40`"
                        .to_owned(),
                );
            }
            Some((user_info, hosts)) => (user_info, hosts),
            // What looks like a host and a port may be a user and the beginning of a password with a `/`, `?` or `#`.
            None if rest.contains('@') && !authority.split(',').all(has_valid_port) => {
                return Err("expected `/`, `?`, `#` and `@` in the user or the password to be written as `%2F`, `%3F`, `%23` and `%40`".to_owned());
            }
            None => ("", authority),
        };
        let (username, password) = match user_info.split_once(':') {
            Some((username, password)) => (username, Some(password)),
            None => (user_info, None),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self { scheme, username, password, hosts, path, query })
    }

    /// Refuses an `@` in the path: what looks like host, port and path may be a user and a password with a `/`.
    pub fn expect_no_at_in_path(&self) -> Result<(), String> {
        if !self.path.contains('@') {
            return Ok(());
        }
        Err("expected every `@` before the parameters to be written as `%40`, and `/`, `?` and `#` in the user or the password as `%2F`, `%3F` and `%23`".to_owned())
    }

    /// The parameters of the query, decoded and in order. The decoded values of secret parameters are registered for scrubbing.
    pub fn parameters(&self) -> Result<Vec<Parameter>, String> {
        let parameters = self.query.split('&').filter(|parameter| !parameter.is_empty());
        parameters.map(Parameter::parse).collect()
    }
}

/// Prints the scheme only.
impl fmt::Debug for UrlParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://***", self.scheme)
    }
}

/// Whether the port of `host`, if it has one, is a number.
fn has_valid_port(host: &str) -> bool {
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    host.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(is_scheme_byte)
}

fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

/// The error about a host that is none.
pub const EXPECTED_HOST: &str =
    "expected a host of letters, digits, `-`, `.` and `_`, or an IP address without a zone";

/// Whether `text` may be the name of a host, an IPv4 address, or an IPv6 address in brackets.
///
/// Other characters are mistakes that a look-up would report only at run time, such as a second host after a `;`.
pub fn is_host(text: &str) -> bool {
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    // In the command `permissions`, `$` begins the name of a reference without a value.
    let name = text.strip_prefix('$').unwrap_or(text);
    !name.is_empty() && name.bytes().all(is_allowed)
}

/// Splits several URLs, which are separated by `;` or `,`.
pub fn split_urls(text: &str) -> Vec<&str> {
    let begins_url = |rest: &str| {
        let length = rest.bytes().take_while(|byte| is_scheme_byte(*byte)).count();
        length > 0 && rest[length..].starts_with("://")
    };
    let mut urls = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices([';', ',']) {
        let rest = text[at + 1..].trim_start();
        if begins_url(rest) {
            urls.push(&text[start..at]);
            start = text.len() - rest.len();
        }
    }
    urls.push(&text[start..]);
    urls
}

/// A parameter of a URL's query.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    value: ParameterValue,
}

/// A value prints unless the name of its parameter suggests that it is a secret.
#[derive(Clone, Debug)]
enum ParameterValue {
    Plain(String),
    Secret(Secret),
}

impl Parameter {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, encoded) = text.split_once('=').unwrap_or((text, ""));
        let (name, value) = (decode_parameter(name)?, decode_parameter(encoded)?);
        let value = if is_secret(&name) {
            ParameterValue::Secret(Secret::new(value))
        } else {
            ParameterValue::Plain(value)
        };
        Ok(Self { name, value })
    }

    /// The value. It may be a secret.
    pub fn expose(&self) -> &str {
        match &self.value {
            ParameterValue::Plain(text) => text,
            ParameterValue::Secret(secret) => secret.expose(),
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_PARAMETERS.iter().any(|part| name.contains(part))
        && !PLAIN_PARAMETERS.iter().any(|end| name.ends_with(end))
}

/// Decodes a parameter as HTML forms encode it, like every URL library: `+` is a space.
fn decode_parameter(text: &str) -> Result<String, String> {
    decode(&text.replace('+', " "), "parameters")
}

/// Decodes percent-encoded `text`. The error names it as a `part` of a URL and quotes nothing.
///
/// A `%` that is not encoded is an error: some clients keep it, others refuse it, and before two digits all decode it.
pub fn percent_decode(text: &str, part: &str) -> Result<String, String> {
    let is_hex = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    let is_code =
        |rest: &str| rest.as_bytes().get(..2).is_some_and(is_hex) && !rest.starts_with("00");
    if text.split('%').skip(1).all(is_code) {
        return decode(text, part);
    }
    Err(format!("expected a URL with `%25` for every `%` in {part}, and without `%00`"))
}

fn decode(text: &str, part: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| format!("expected a URL with {part} in percent-encoded UTF-8"))
}

/// The value of an `Authorization` header with this user. The password is masked in it, also without the scheme.
pub fn basic_auth(username: &str, password: &str) -> Secret {
    let user = Secret::formatted(format_args!("{username}:{password}"));
    let encoded = Secret::unmasked(BASE64.encode(user.expose().as_bytes()));
    let value = Secret::formatted(format_args!("Basic {}", encoded.expose()));
    value.mask();
    value
}

/// The URL of a backend with one host. It prints without its user-info and its query, which may contain secrets.
#[derive(Clone)]
pub struct Url {
    text: Secret,
    parsed: url::Url,
    path: String,
    username: String,
    password: Option<Secret>,
    parameters: Vec<Parameter>,
    // Never read. In place of a password, the user may be a token.
    _token: Option<Secret>,
}

impl Url {
    /// Parses a URL. The error says what is wrong and quotes nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = UrlParts::split(text)?;
        // In a URL of the web, the parser skips further slashes and takes what follows as the host.
        if parts.hosts.is_empty() {
            return Err(
                "expected a host before the path, as in `scheme://host:port/path`".to_owned()
            );
        }
        let parsed = url::Url::parse(text)
            .map_err(|error| format!("expected a URL such as `scheme://host:port`: {error}"))?;
        let is_web = matches!(parsed.scheme(), "http" | "https" | "ws" | "wss");
        // The parser ends the authority at a backslash, in place of a port or anywhere in a URL of the web, and shows what follows as a path: it may be the rest of a password. In the path of the web, it takes a backslash as a slash.
        let has_backslash = |part: &str| part.contains('\\');
        if has_backslash(parts.hosts)
            || is_web
                && (has_backslash(parts.username)
                    || parts.password.is_some_and(has_backslash)
                    || has_backslash(parts.path))
        {
            let message = "expected no `\\` in the host, and `%5C` in its place elsewhere";
            return Err(message.to_owned());
        }
        if !is_web {
            parts.expect_no_at_in_path()?;
        }
        if !parsed.host_str().is_some_and(is_host) {
            return Err(EXPECTED_HOST.to_owned());
        }
        // Some clients replace it by their default port, and others cannot connect to it.
        if parsed.port() == Some(0) {
            return Err("expected a port from 1 to 65535".to_owned());
        }
        let username = percent_decode(parsed.username(), "user-info")?;
        let password = parsed.password().map(|password| percent_decode(password, "user-info"));
        let password = password.transpose()?.map(Secret::new);
        let token = (is_web && password.is_none()).then(|| Secret::new(&username));
        let without_user_info =
            format!("{}://{}", parsed.scheme(), &parsed[url::Position::BeforeHost..]);
        // It cannot wipe its text, which has the password.
        String::from(parsed).zeroize();
        let parsed = url::Url::parse(&without_user_info)
            .map_err(|error| format!("expected a URL such as `scheme://host:port`: {error}"))?;
        Ok(Self {
            // The path of a web page may be a secret.
            text: if is_web { Secret::new(text) } else { Secret::unmasked(text) },
            parameters: parts.parameters()?,
            path: if is_web { parsed.path() } else { parts.path }.to_owned(),
            parsed,
            username,
            password,
            _token: token,
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

    /// The user and the password as the value of an `Authorization` header, if the URL has one of them.
    pub fn basic_auth(&self) -> Option<Secret> {
        let password = self.password().map(Secret::expose).unwrap_or_default();
        if self.username.is_empty() && password.is_empty() {
            return None;
        }
        Some(basic_auth(&self.username, password))
    }

    /// The path, percent-encoded: as written, but without `.` and `..` in a URL of the web.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path and the query as in a request line, percent-encoded. The query may contain a secret.
    pub fn path_and_query(&self) -> &str {
        &self.parsed[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// The parameters of the query, decoded and in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// `host:port`, with `default_port` if the URL has no port.
    pub fn authority(&self, default_port: u16) -> String {
        format!("{}:{}", self.host(), self.port().unwrap_or(default_port))
    }
}

impl PartialEq for Url {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Url {}

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

    fn unmaskable(&self) -> bool {
        self.password.as_ref().is_some_and(Secret::is_unmaskable)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RAW_AT: &str = "expected every `@` but the one before the host to be written as `%40`";

    #[test]
    fn the_authority_ends_at_the_first_slash_question_mark_or_hash() {
        for (text, hosts, path, query) in [
            ("a://h:1/p?user=x@y", "h:1", "/p", "user=x@y"),
            ("a://h?p/q@r", "h", "", "p/q@r"),
            ("a://u@h,i:2#f?x", "h,i:2", "", ""),
            ("a://u:p@/x", "", "/x", ""),
        ] {
            let parts = UrlParts::split(text).expect("a URL");
            assert_eq!((parts.hosts, parts.path, parts.query), (hosts, path, query), "{text}");
        }
    }

    #[test]
    fn an_at_sign_in_the_user_info_is_refused() {
        for text in [
            "postgres://app:Top@Secret99@host/app",
            "redis://a@b:c@h",
            "redis://@@h",
            "a://u:@pw?@h",
        ] {
            assert_eq!(UrlParts::split(text), Err(RAW_AT.to_owned()), "{text}");
            assert_eq!(Url::parse(text), Err(RAW_AT.to_owned()), "{text}");
        }
        assert!(Url::parse("redis://a%40b:c%40d@h").is_ok());
    }

    #[test]
    fn a_secret_parameter_does_not_print_and_is_masked() {
        let url = Url::parse("a://h?db=1&sentinelPassword=hunter%2B2&x+y=%20").expect("a URL");
        let values: Vec<_> = url.parameters().iter().map(|it| (&*it.name, it.expose())).collect();
        assert_eq!(values, [("db", "1"), ("sentinelPassword", "hunter+2"), ("x y", " ")]);
        assert!(!format!("{:?}", url.parameters()).contains("hunter"));
        assert_eq!(crate::scrub("rejected hunter+2"), "rejected ***");
    }

    #[test]
    fn paths_and_prefixes_are_no_secrets() {
        let url = Url::parse("a://h?ssl_keyfile=/hunter2.pem&key_prefix=hunter3").expect("a URL");
        assert_eq!(crate::scrub("/hunter2.pem hunter3"), "/hunter2.pem hunter3");
        assert!(format!("{:?}", url.parameters()).contains("/hunter2.pem"));
    }

    #[test]
    fn a_token_in_place_of_a_user_is_masked() {
        let _url = Url::parse("https://hunter2%2Btoken@h/").expect("a URL");
        assert_eq!(crate::scrub("sent hunter2+token"), "sent ***");
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
    fn a_backslash_does_not_end_the_authority() {
        for text in [
            "redis://u:5\\x/hunter2",
            "redis://ws:\\/hunter2",
            "https://u\\:hunter2@h:8443/",
            "wss://u:\\hunter2@h/socket",
            "http://hunter2\\@h/",
            "http://h/a\\b",
        ] {
            let error = Url::parse(text).expect_err("a backslash in the authority");
            assert_eq!(error, "expected no `\\` in the host, and `%5C` in its place elsewhere");
        }
        let url = Url::parse("amqp://u:a\\b@h").expect("a URL");
        assert_eq!(url.password().map(Secret::expose), Some("a\\b"));
    }

    #[test]
    fn a_url_that_the_parser_would_repair_is_refused() {
        let no_host = "expected a host before the path, as in `scheme://host:port/path`";
        for scheme in ["http", "https", "ws", "wss", "redis", "amqp"] {
            for rest in ["", "/", "/h", "//h", "/u:hunter2@h", "///u:hunter2@h/x", "u:hunter2@/h"] {
                let error = Url::parse(&format!("{scheme}://{rest}")).expect_err(rest);
                assert_eq!(error, no_host, "{scheme}://{rest}");
            }
            for text in ["h", ":h", ":/u:hunter2@h", ":u:hunter2@h", ":\\\\h", ":/\\h"] {
                let error = Url::parse(&format!("{scheme}{text}")).expect_err(text);
                assert_eq!(error, "expected a URL such as `scheme://host:port`", "{scheme}{text}");
            }
        }
        for text in [" http://h", "http://h ", "http://h\n", "redis://ho\tst/1", "amqp://h/app\n"] {
            let error = Url::parse(text).expect_err(text);
            assert!(error.starts_with("expected a URL without line ends"), "{error}");
        }
        assert_eq!(Url::parse("amqp://h/a/../b").expect("a URL").path(), "/a/../b");
        assert!(Url::parse("https://h//x").is_ok());
    }

    #[test]
    fn a_password_that_ends_the_authority_is_no_port_and_path() {
        let error = Url::parse("amqp://u:12/hunter2@h").expect_err("a password");
        assert!(error.starts_with("expected every `@` before the parameters"), "{error}");
        for rest in ["/x@h", "?x@h", "#x@h", "/@h/y"] {
            for scheme in ["http", "amqp", "redis", "postgres"] {
                let text = format!("{scheme}://u:hunter2{rest}");
                let error = UrlParts::split(&text).expect_err("a password");
                assert!(error.starts_with("expected `/`, `?`, `#` and `@` in"), "{error}");
            }
        }
        for text in ["https://h/@app", "https://[::1]/@app", "https://h:8443/@app", "a://a:1,b/x@y"]
        {
            assert!(UrlParts::split(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_percent_sign_is_encoded() {
        for text in ["100%", "%zz", "%", "a%2", "%00"] {
            assert!(percent_decode(text, "a path").is_err(), "{text}");
            assert!(Url::parse(&format!("amqp://u:{text}@h")).is_err(), "{text}");
        }
        assert_eq!(percent_decode("100%25%e2%82%ac", "a path").as_deref(), Ok("100%€"));
        assert!(Url::parse("https://h/x?share=100%").is_ok());
    }

    #[test]
    fn urls_are_separated_by_commas_and_semicolons() {
        let urls = split_urls("a://x,y; b://u:p;w@z,c://v");
        assert_eq!(urls, ["a://x,y", "b://u:p;w@z", "c://v"]);
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in ["h", "my_cache.app-1.internal.", "127.0.0.1", "[::1]", "xn--bcher-kva.example"]
        {
            assert!(Url::parse(&format!("redis://{host}:1")).is_ok(), "{host}");
        }
        for host in ["a;b", "a,b", "a%20b", "%2Fs", "café", "a*", "a!"] {
            for scheme in ["redis", "http"] {
                let url = Url::parse(&format!("{scheme}://{host}:1/"));
                let is_idn = scheme == "http" && host == "café";
                assert!(is_idn || url.is_err(), "{scheme}://{host}");
            }
        }
        assert_eq!(Url::parse("amqp://u@a;b"), Err(EXPECTED_HOST.to_owned()));
        assert!(Url::parse("redis://[fe80::1%25eth0]").is_err());
        assert_eq!(Url::parse("redis://h:0"), Err("expected a port from 1 to 65535".to_owned()));
    }

    #[test]
    fn a_bad_url_is_not_quoted() {
        let error = Url::parse("redis://:hunter2@cache:port").expect_err("a bad port");
        assert_eq!(error, "expected a URL such as `scheme://host:port`: invalid port number");
    }

    proptest! {
        #[test]
        fn no_part_of_the_user_info_is_ever_shown(
            before in "[a-z:@/?#%&=,\\\\]{0,6}",
            after in "[a-z:@/?#%&=,\\\\]{0,6}",
            rest in "[ -~]{0,20}",
        ) {
            let text = format!("redis://u:{before}XsecretX{after}@{rest}");
            match Url::parse(&text) {
                Err(message) => prop_assert!(!message.contains("XsecretX"), "{message}"),
                Ok(url) => {
                    let host = url.authority(1);
                    prop_assert!(!host.to_uppercase().contains("XSECRETX"), "{text} shows {host}");
                }
            }
        }

        #[test]
        fn any_text_can_be_split(text: String) {
            if let Ok(parts) = UrlParts::split(&text) {
                drop(parts.parameters());
            }
            drop(Url::parse(&text));
        }
    }
}
