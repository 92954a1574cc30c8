//! Parses a Redis URL and its TLS settings into connection parameters.

use net::{PemFiles, Verification};
use probe::Secret;
use probe::config::{Fields, Url, UrlParts, UrlText, is_host, percent_decode, split_urls};

use crate::deployment::{Credentials, Deployment, Layout, Node, Tls};
use crate::parameters::Parameters;

/// The schemes that an error names. The double `s` stands for TLS.
const SCHEMES: &str = "`redis://`, `rediss://`, `redis-cluster://`, `rediss-cluster://`, `redis-sentinel://`, `rediss-sentinel://` or `unix://`";

/// The deployment and the database of a URL, and the `host:port` that failures name.
#[derive(Debug)]
pub(crate) struct ConnectParams {
    pub(crate) deployment: Deployment,
    pub(crate) database: u16,
    pub(crate) target: String,
}

impl ConnectParams {
    /// Reads the URL `text`, the value of `key`, and records errors and notes in `fields`.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        key: &'static str,
        text: &UrlText,
        settings: &net::TlsSettings,
        sentinel: &SentinelSettings,
    ) -> Option<Self> {
        let parsed = parse(text.expose(), sentinel, &|setting| fields.has(setting));
        let parsed = parsed.map_err(|message| fields.error(key, message)).ok()?;
        fields.note_ignored(key, parsed.ignored);
        let Parsed { layout, nodes, credentials, database, verification, pem_files, .. } = parsed;
        fields.note_unmaskable(key, credentials.password.as_ref());
        let target = nodes[0].to_string();
        let settings = settings.clone();
        let tls = verification.map(|verification| Tls { settings, pem_files, verification });
        Some(Self { deployment: Deployment { layout, nodes, credentials, tls }, database, target })
    }

    /// Whether TLS is used.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.deployment.tls.is_some()
    }
}

/// Whether a URL, or the first of several, has a scheme of Redis.
pub fn has_scheme(text: &str) -> bool {
    scheme_of(text).is_some()
}

/// Whether the scheme of a URL, or of the first of several, requires TLS.
pub fn is_encrypted(text: &str) -> bool {
    matches!(scheme_of(text), Some((_, true)))
}

fn scheme_of(text: &str) -> Option<(Kind, bool)> {
    scheme(text.split_once("://")?.0)
}

/// What settings beside the URL say about Sentinel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentinelSettings {
    /// The name of the primary.
    pub service: Option<String>,
    /// The user on the sentinels.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}

/// What a URL says.
#[derive(Debug)]
struct Parsed {
    layout: Layout,
    /// At least one.
    nodes: Vec<Node>,
    credentials: Credentials,
    database: u16,
    /// What is verified of a server's certificate, or `None` without TLS.
    verification: Option<Verification>,
    pem_files: PemFiles,
    ignored: Vec<&'static str>,
}

/// What the scheme of a URL says about its servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Single,
    Socket,
    Cluster,
    Sentinel,
}

/// What the scheme means, and whether it requires TLS.
fn scheme(scheme: &str) -> Option<(Kind, bool)> {
    Some(match scheme.to_lowercase().as_str() {
        "redis" | "valkey" => (Kind::Single, false),
        "rediss" | "valkeys" | "redis+ssl" | "redis+tls" => (Kind::Single, true),
        "redis-cluster" => (Kind::Cluster, false),
        "rediss-cluster" => (Kind::Cluster, true),
        "redis-sentinel" | "redis+sentinel" | "sentinel" => (Kind::Sentinel, false),
        "rediss-sentinel" | "rediss+sentinel" => (Kind::Sentinel, true),
        "unix" | "redis+socket" | "redis+unix" | "redis-socket" | "valkey+unix" => {
            (Kind::Socket, false)
        }
        _ => return None,
    })
}

/// Parses a URL, or several of sentinels. `has_setting` says whether the section has a setting. An error does not quote any part of the URL.
fn parse(
    text: &str,
    sentinel: &SentinelSettings,
    has_setting: &dyn Fn(&str) -> bool,
) -> Result<Parsed, String> {
    let expected_scheme = || format!("expected a URL that begins with {SCHEMES}");
    let (kind, is_tls) = scheme_of(text).ok_or_else(expected_scheme)?;
    let texts = split_urls(text);
    let urls: Vec<_> = texts.iter().map(|url| UrlParts::split(url)).collect::<Result<_, _>>()?;
    if urls.iter().any(|url| scheme(url.scheme) != Some((kind, is_tls))) {
        return Err("expected the same scheme in all URLs".to_owned());
    }
    if kind != Kind::Socket {
        urls.iter().try_for_each(UrlParts::expect_no_at_in_path)?;
    }
    let query = urls.iter().map(UrlParts::parameters).collect::<Result<Vec<_>, _>>()?.concat();
    let mut parameters = Parameters::read(&query, has_setting)?;
    parameters.add_sentinel(sentinel)?;
    let fragment = same(texts.iter().filter_map(|text| text.split_once('#')).map(|(_, it)| it))?;
    let service = match fragment {
        "" => None,
        "insecure" if is_tls => {
            parameters.verify(Verification::None)?;
            None
        }
        name if kind == Kind::Sentinel => Some(name),
        _ => return Err("expected no `#`, which is `%23` in a password".to_owned()),
    };
    let layout = layout(kind, &parameters, service)?;
    let nodes = nodes(kind, &urls, &parameters)?;
    let path = if kind == Kind::Socket { "" } else { same(urls.iter().map(|url| url.path))? };
    let database = database(path, parameters.database)?;
    if matches!(layout, Layout::Cluster) && database != 0 {
        return Err("expected no database number: a cluster has only database 0".to_owned());
    }
    Ok(Parsed {
        layout,
        nodes,
        credentials: credentials(&urls, &parameters)?,
        database,
        verification: verification(is_tls, &parameters, has_setting)?,
        pem_files: parameters.pem_files,
        ignored: parameters.ignored,
    })
}

/// The value of the first URL, which is that of all in kombu; the others have the same or none.
fn same<'a>(mut values: impl Iterator<Item = &'a str>) -> Result<&'a str, String> {
    let first = values.next().unwrap_or_default();
    if values.all(|value| value.is_empty() || value == first) {
        return Ok(first);
    }
    Err("expected URLs that differ only in their hosts, with the user, the password and the database in the first".to_owned())
}

fn layout(
    kind: Kind,
    parameters: &Parameters<'_>,
    service: Option<&str>,
) -> Result<Layout, String> {
    if kind != Kind::Sentinel {
        let sentinel =
            [parameters.service, parameters.sentinel_username, parameters.sentinel_password];
        if sentinel.iter().any(Option::is_some) {
            return Err("expected `redis-sentinel://` with parameters of Sentinel".to_owned());
        }
    }
    Ok(match kind {
        Kind::Single | Kind::Socket => Layout::Single,
        Kind::Cluster => Layout::Cluster,
        Kind::Sentinel => {
            let service = parameters.service.or(service).ok_or(
                "expected the parameter `sentinelServiceName`, such as `?sentinelServiceName=mymaster`",
            )?;
            let password = parameters.sentinel_password.map(Secret::new);
            let username = parameters.sentinel_username.unwrap_or_default();
            let credentials = Credentials::new(username, password);
            Layout::Sentinel { service: service.to_owned(), credentials }
        }
    })
}

fn nodes(
    kind: Kind,
    urls: &[UrlParts<'_>],
    parameters: &Parameters<'_>,
) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    if kind == Kind::Socket {
        let path = percent_decode(same(urls.iter().map(|url| url.path))?, "a path")?;
        if urls.iter().any(|url| !url.hosts.is_empty()) || path.len() < 2 {
            return Err(
                "expected the path of a socket, such as `unix:///run/redis.sock`".to_owned()
            );
        }
        nodes.push(Node::new(&path, 0));
    } else {
        let default_port = if kind == Kind::Sentinel { 26379 } else { 6379 };
        for host in urls.iter().flat_map(|url| url.hosts.split(',')) {
            // Any scheme without a well-known port.
            let url = Url::parse(&format!("redis://{host}"))?;
            nodes.push(Node::new(url.host(), url.port().unwrap_or(default_port)));
        }
    }
    for text in &parameters.nodes {
        nodes.push(node(text).ok_or("expected `node=host:port`")?);
    }
    if nodes.len() > 1 && matches!(kind, Kind::Single | Kind::Socket) {
        return Err("expected one server: the nodes of a cluster are written as `redis-cluster://host?node=other:6379`, sentinels as `redis-sentinel://`".to_owned());
    }
    Ok(nodes)
}

fn node(text: &str) -> Option<Node> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    is_host(host).then(|| Node::new(host, port))
}

fn database(path: &str, parameter: Option<&str>) -> Result<u16, String> {
    let expected = "expected nothing but a database number after the host, such as `/1`";
    let number = |text: &str| match text {
        "" => Ok(0),
        number => number.parse().map_err(|_| expected.to_owned()),
    };
    let path = path.trim_matches('/');
    match parameter.map(|text| number(text.trim_matches('/'))).transpose()? {
        None => number(path),
        Some(database) if path.is_empty() || number(path)? == database => Ok(database),
        Some(_) => Err("expected the database in the path or in `db`, but not two".to_owned()),
    }
}

fn credentials(urls: &[UrlParts<'_>], parameters: &Parameters<'_>) -> Result<Credentials, String> {
    let decode = |text: &str| percent_decode(text, "user-info");
    let username = decode(same(urls.iter().map(|url| url.username))?)?;
    same(urls.iter().map(|url| url.password.unwrap_or_default()))?;
    let password = urls[0].password.map(decode).transpose()?.map(Secret::new);
    if !username.is_empty() && password.is_none() && parameters.password.is_none() {
        let message = "expected `user:password@`, `user:@` or `:password@` before the host: a single word is the user for some clients, and the password for others";
        return Err(message.to_owned());
    }
    let other = |known: Option<&str>, parameter: Option<&str>| {
        known.is_some_and(|known| parameter.is_some_and(|parameter| parameter != known))
    };
    let known = Some(username.as_str()).filter(|name| !name.is_empty());
    if other(known, parameters.username)
        || other(password.as_ref().map(Secret::expose), parameters.password)
    {
        return Err("expected the user and the password before the host or as parameters, but not two of one".to_owned());
    }
    let username = known.or(parameters.username).unwrap_or_default();
    Ok(Credentials::new(username, password.or_else(|| parameters.password.map(Secret::new))))
}

fn verification(
    is_tls: bool,
    parameters: &Parameters<'_>,
    has_setting: &dyn Fn(&str) -> bool,
) -> Result<Option<Verification>, String> {
    if !is_tls {
        let demands = parameters.verification.is_some()
            || parameters.check_hostname.is_some()
            || !parameters.pem_files.is_empty();
        if demands || parameters.tls == Some(true) {
            return Err("expected `rediss://` with parameters for TLS".to_owned());
        }
        return Ok(None);
    }
    if parameters.tls == Some(false) {
        return Err("expected `redis://` without TLS".to_owned());
    }
    let verification = match (parameters.verification, parameters.check_hostname) {
        (None | Some(Verification::Full), Some(false)) => Verification::Chain,
        (verification, _) => verification.unwrap_or(Verification::Full),
    };
    if verification == Verification::None && has_setting("ca") {
        return Err("expected no `ca` beside a URL that demands no certificate".to_owned());
    }
    if parameters.pem_files.is_incomplete() {
        return Err("expected `ssl_certfile` and `ssl_keyfile` together".to_owned());
    }
    Ok(Some(verification))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Parsed, String> {
        parse(text, &SentinelSettings::default(), &|_| false)
    }

    fn valid(text: &str) -> Parsed {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn check_error(text: &str, expected: &str) {
        assert_eq!(read(text).expect_err(text), expected, "{text}");
    }

    /// The servers, the database and what is verified.
    fn check(text: &str, expected: (&str, u16, Option<Verification>)) {
        let Parsed { nodes, database, verification, .. } = valid(text);
        let nodes: Vec<_> = nodes.iter().map(Node::to_string).collect();
        assert_eq!((nodes.join(" ").as_str(), database, verification), expected, "{text}");
    }

    #[test]
    fn a_url_means_what_it_means_to_other_clients() {
        let (full, chain, none) =
            (Some(Verification::Full), Some(Verification::Chain), Some(Verification::None));
        for (text, expected) in [
            ("redis://cache/3", ("cache:6379", 3, None)),
            ("redis://cache:7?db=3", ("cache:7", 3, None)),
            ("redis://cache/3?db=3&protocol=3", ("cache:6379", 3, None)),
            ("redis://cache//", ("cache:6379", 0, None)),
            ("redis://cache//2", ("cache:6379", 2, None)),
            ("valkey://[::1]/1", ("[::1]:6379", 1, None)),
            ("valkeys://cache", ("cache:6379", 0, full)),
            ("rediss://cache", ("cache:6379", 0, full)),
            ("redis+ssl://cache", ("cache:6379", 0, full)),
            ("rediss://cache?ssl_cert_reqs=required&ssl=true", ("cache:6379", 0, full)),
            ("rediss://cache?ssl_cert_reqs=CERT_OPTIONAL", ("cache:6379", 0, full)),
            ("rediss://cache?ssl_cert_reqs=CERT_NONE", ("cache:6379", 0, none)),
            ("rediss://cache?ssl_cert_reqs=none", ("cache:6379", 0, none)),
            ("rediss://cache?ssl_check_hostname=False", ("cache:6379", 0, chain)),
            ("rediss://cache?verifyPeer=CA", ("cache:6379", 0, chain)),
            ("rediss://cache?skip_verify=true", ("cache:6379", 0, none)),
            ("rediss://cache/#insecure", ("cache:6379", 0, none)),
            ("unix:///run/redis.sock", ("/run/redis.sock", 0, None)),
            ("unix://:pw@/run/redis.sock?db=2", ("/run/redis.sock", 2, None)),
            ("redis+socket:///run/redis.sock?virtual_host=4", ("/run/redis.sock", 4, None)),
            ("redis-cluster://a:1,b:2?node=c:3", ("a:1 b:2 c:3", 0, None)),
            ("redis-sentinel://a,b:2/1?sentinelServiceName=m", ("a:26379 b:2 ", 1, None)),
            ("sentinel://a/1;sentinel://b; sentinel://c/1#m", ("a:26379 b:26379 c:26379", 1, None)),
        ] {
            let (servers, database, verification) = expected;
            check(text, (servers.trim(), database, verification));
        }
    }

    #[test]
    fn credentials_may_be_parameters() {
        for text in [
            "redis://me:p%40w@h",
            "redis://me@h?password=p@w",
            "unix:///s?username=me&password=p%40w",
            "sentinel://me:p%40w@h;sentinel://i?master_name=m",
        ] {
            // A raw `@` is an error in every part of a URL.
            let text = text.replace("p@w", "p%40w");
            let Credentials { username, password, .. } = valid(&text).credentials;
            let password = password.as_ref().map(Secret::expose);
            assert_eq!((username.as_deref(), password), (Some("me"), Some("p@w")), "{text}");
        }
    }

    #[test]
    fn sentinels_have_separate_credentials() {
        let text = "redis-sentinel://me:pw@a/1?sentinelServiceName=m&sentinelPassword=other";
        let Layout::Sentinel { service, credentials } = valid(text).layout else {
            panic!("Sentinel")
        };
        assert_eq!(service, "m");
        assert_eq!(credentials.password.expect("a password").expose(), "other");
    }

    #[test]
    fn parameters_of_other_clients_are_ignored_by_name() {
        let text = "redis://h?socket_timeout=5&health_check_interval=30&max_connections=1&db=1";
        let expected = ["health_check_interval", "max_connections", "socket_timeout"];
        let mut ignored = valid(text).ignored;
        ignored.sort_unstable();
        assert_eq!(ignored, expected);
    }

    #[test]
    fn files_in_the_url_are_ignored_if_the_section_has_their_content() {
        let text = "rediss://h?ssl_ca_certs=/etc/ca.pem";
        let files = valid(text).pem_files;
        assert_eq!(files.authorities, net::PemFile::new("ssl_ca_certs", "/etc/ca.pem"));
        for incomplete in ["rediss://h?ssl_certfile=/c", "rediss://h?ssl_keyfile=/k"] {
            check_error(incomplete, "expected `ssl_certfile` and `ssl_keyfile` together");
        }
        check_error("redis://h?ssl_ca_certs=/c", "expected `rediss://` with parameters for TLS");
        check_error(
            "rediss://h?ssl_ca_path=/c",
            "expected the setting `ca`, as in `ca = \"${file:ca.pem}\"`, instead of `ssl_ca_path`",
        );
        let parse = |text| parse(text, &SentinelSettings::default(), &|setting| setting == "ca");
        let parsed = parse(text).expect("a valid URL");
        assert_eq!(parsed.ignored, ["ssl_ca_certs"]);
        let text = "rediss://h?ssl_cert_reqs=none";
        assert!(parse(text).is_err());
    }

    #[test]
    fn an_invalid_url_is_an_error_that_names_the_valid_form() {
        const HOSTS: &str = "expected URLs that differ only in their hosts, with the user, the password and the database in the first";
        const WORD: &str = "expected `user:password@`, `user:@` or `:password@` before the host: a single word is the user for some clients, and the password for others";
        let (one, tls) = ("expected one server: ", "expected `rediss://` with parameters for TLS");
        for text in ["redis://a,b", "redis://a;redis://b", "redis://a?node=b:1"] {
            assert!(read(text).expect_err(text).starts_with(one), "{text}");
        }
        for (text, expected) in [
            ("redis://a;amqp://b", "expected the same scheme in all URLs"),
            ("redis://a?ssl_cert_reqs=none", tls),
            ("redis://a?ssl=true", tls),
            ("rediss://a?ssl=false", "expected `redis://` without TLS"),
            (
                "rediss://a?ssl_cert_reqs=maybe",
                "expected `ssl_cert_reqs=required`, `optional` or `none`",
            ),
            (
                "rediss://a?ssl_cert_reqs=required&skip_verify=1",
                "expected `ssl_cert_reqs` only once",
            ),
            (
                "redis://a?is_master=1",
                "expected `redis-sentinel://host?sentinelServiceName=name` instead of `is_master`",
            ),
            ("redis://a?prefix=x", "expected the setting `key_prefix` instead of `prefix`"),
            ("redis://a/1?db=2", "expected the database in the path or in `db`, but not two"),
            ("redis://a?db=1&db=2", "expected `db` only once"),
            ("redis://a/1#x", "expected no `#`, which is `%23` in a password"),
            ("redis-cluster://a?node=b", "expected `node=host:port`"),
            ("redis-cluster://a/1", "expected no database number: a cluster has only database 0"),
            (
                "redis://a/one",
                "expected nothing but a database number after the host, such as `/1`",
            ),
            (
                "redis-sentinel://a",
                "expected the parameter `sentinelServiceName`, such as `?sentinelServiceName=mymaster`",
            ),
            (
                "redis://a?sentinelServiceName=m",
                "expected `redis-sentinel://` with parameters of Sentinel",
            ),
            ("sentinel://u:p@a;sentinel://v:p@b#m", HOSTS),
            ("sentinel://a;sentinel://b/1#m", HOSTS),
            ("sentinel://a;sentinel://:p@b#m", HOSTS),
            ("redis://hunter2@a", WORD),
            ("redis://hunter2@a/1?db=1", WORD),
            (
                "unix://run/redis.sock",
                "expected the path of a socket, such as `unix:///run/redis.sock`",
            ),
            (
                "redis://u:p@a?username=v",
                "expected the user and the password before the host or as parameters, but not two of one",
            ),
            ("redis:///1", "expected a host before the path, as in `scheme://host:port/path`"),
            (
                "redis://u:12/hunter2@h",
                "expected every `@` before the parameters to be written as `%40`, and `/`, `?` and `#` in the user or the password as `%2F`, `%3F` and `%23`",
            ),
        ] {
            check_error(text, expected);
        }
        assert!(read("redis-cluster://a?nodes=b:1").is_err());
    }

    proptest! {
        #[test]
        fn any_url_is_read_or_refused_without_showing_its_password(
            scheme in "(redis|rediss|redis-cluster|sentinel|unix|redis+socket)",
            before in "[a-z:@/?#%&=,;]{0,6}",
            rest in "[ -~]{0,40}",
        ) {
            let text = format!("{scheme}://u:{before}XsecretX@{rest}");
            match read(&text) {
                Err(message) => prop_assert!(!message.contains("XsecretX"), "{message}"),
                Ok(parsed) => {
                    let nodes = format!("{:?}", parsed.nodes);
                    prop_assert!(!nodes.contains("XsecretX"), "{text} shows {nodes}");
                }
            }
        }
    }
}
