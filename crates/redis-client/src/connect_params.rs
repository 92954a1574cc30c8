//! Parses a Redis URL and its TLS settings into connection parameters.

use probe::Secret;
use probe::config::{Fields, Parameter, Url};

use crate::deployment::{Credentials, Deployment, Layout, Node};

/// The schemes that a `url` may have. The double `s` stands for TLS.
pub(crate) const SCHEMES: &[&str] =
    &["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

/// The deployment and the database of a URL, and the `host:port` that failures name.
#[derive(Debug)]
pub(crate) struct ConnectParams {
    pub(crate) deployment: Deployment,
    pub(crate) database: u16,
    pub(crate) target: String,
}

impl ConnectParams {
    /// Reads `url`, the value of `key`, and records errors in `fields`.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        key: &'static str,
        url: &Url,
        settings: &net::TlsSettings,
    ) -> Option<Self> {
        let (layout, nodes, database) =
            parse(url).map_err(|message| fields.error(key, message)).ok()?;
        let credentials = Credentials::new(url.username(), url.password().cloned());
        let target = url.authority(nodes[0].port);
        let tls = is_encrypted(url).then(|| settings.clone());
        Some(Self { deployment: Deployment { layout, nodes, credentials, tls }, database, target })
    }
}

/// Whether the scheme of the URL requires TLS.
pub fn is_encrypted(url: &Url) -> bool {
    url.scheme().starts_with("rediss")
}

/// Returns the layout, its nodes and the database. An error does not quote any part of the URL.
fn parse(url: &Url) -> Result<(Layout, Vec<Node>, u16), String> {
    let query = url.parameters();
    let (layout, default_port) = match url.scheme() {
        "redis" | "rediss" => (Layout::Single, 6379),
        "redis-cluster" | "rediss-cluster" => (Layout::Cluster, 6379),
        _ => (sentinel(query)?, 26379),
    };
    expect_only(query, parameters(&layout))?;
    let mut nodes = vec![Node::new(url.host(), url.port().unwrap_or(default_port))];
    for parameter in query.iter().filter(|parameter| parameter.name == "node") {
        nodes.push(node(parameter.expose()).ok_or("expected `node=host:port`")?);
    }
    let database = database(url.path())
        .ok_or("expected nothing but a database number after the host, such as `/1`")?;
    if matches!(layout, Layout::Cluster) && database != 0 {
        return Err("expected no database number: a cluster has only database 0".to_owned());
    }
    Ok((layout, nodes, database))
}

/// The parameters that the query may have.
fn parameters(layout: &Layout) -> &'static [&'static str] {
    match layout {
        Layout::Single => &[],
        Layout::Cluster => &["node"],
        Layout::Sentinel { .. } => {
            &["node", "sentinelServiceName", "sentinelUsername", "sentinelPassword"]
        }
    }
}

fn expect_only(query: &[Parameter], known: &[&str]) -> Result<(), String> {
    if query.iter().all(|parameter| known.contains(&parameter.name.as_str())) {
        return Ok(());
    }
    Err(match known {
        [] => "expected no `?` and no parameters".to_owned(),
        known => format!("expected no parameters but `{}`", known.join("`, `")),
    })
}

fn sentinel(query: &[Parameter]) -> Result<Layout, String> {
    let find = |name: &str| query.iter().find(|it| it.name == name).map(Parameter::expose);
    let service = find("sentinelServiceName").ok_or(
        "expected the parameter `sentinelServiceName`, such as `?sentinelServiceName=mymaster`",
    )?;
    let username = find("sentinelUsername").unwrap_or_default();
    let credentials = Credentials::new(username, find("sentinelPassword").map(Secret::new));
    Ok(Layout::Sentinel { service: service.to_owned(), credentials })
}

fn node(text: &str) -> Option<Node> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    (!host.is_empty()).then(|| Node::new(host, port))
}

fn database(path: &str) -> Option<u16> {
    match path.strip_prefix('/').unwrap_or(path) {
        "" => Some(0),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Layout, Vec<Node>, u16), String> {
        parse(&Url::parse(text).expect("a URL"))
    }

    fn check_error(text: &str, expected: &str) {
        assert_eq!(read(text).expect_err("an invalid URL"), expected);
    }

    #[test]
    fn a_single_server_has_a_database() {
        let (layout, nodes, database) = read("redis://cache/3").expect("a valid URL");
        assert!(matches!(layout, Layout::Single));
        assert_eq!((nodes, database), (vec![Node::new("cache", 6379)], 3));
    }

    #[test]
    fn a_cluster_has_several_seed_nodes() {
        let (_, nodes, _) = read("redis-cluster://a:1?node=b:2&node=[::1]:3").expect("a valid URL");
        let hosts: Vec<_> = nodes.iter().map(|node| (node.bare_host(), node.port)).collect();
        assert_eq!(hosts, [("a", 1), ("b", 2), ("::1", 3)]);
    }

    #[test]
    fn sentinels_have_separate_credentials() {
        let text = "redis-sentinel://me:pw@a/1?sentinelServiceName=m&sentinelPassword=other";
        let (layout, nodes, database) = read(text).expect("a valid URL");
        let Layout::Sentinel { service, credentials } = layout else { panic!("Sentinel") };
        assert_eq!((service.as_str(), nodes[0].port, database), ("m", 26379, 1));
        assert_eq!(credentials.password.expect("a password").expose(), "other");
    }

    #[test]
    fn an_invalid_url_is_an_error_that_names_the_valid_form() {
        check_error("redis://a?db=1", "expected no `?` and no parameters");
        check_error("redis-cluster://a?nodes=b:1", "expected no parameters but `node`");
        check_error("redis-cluster://a?node=b", "expected `node=host:port`");
        check_error(
            "redis-cluster://a/1",
            "expected no database number: a cluster has only database 0",
        );
        check_error(
            "redis://a/one",
            "expected nothing but a database number after the host, such as `/1`",
        );
        check_error(
            "redis-sentinel://a",
            "expected the parameter `sentinelServiceName`, such as `?sentinelServiceName=mymaster`",
        );
    }
}
