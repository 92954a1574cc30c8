//! The settings that say where a Redis is: the section's URL and what stands beside it, read and checked.

use probe::Secret;
use probe::config::{Fields, Url};

use crate::deployment::{Credentials, Deployment, Layout, Node};

/// The schemes that a `url` may have; the double `s` stands for TLS.
pub(crate) const SCHEMES: &[&str] =
    &["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

/// What one URL says: the deployment, the database in it, and its name in failures.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) deployment: Deployment,
    pub(crate) database: u16,
    pub(crate) target: String,
}

impl Place {
    /// What `url`, which stands under `key`, says; what is wrong with it is noted.
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

/// Whether the URL asks for TLS.
pub fn is_encrypted(url: &Url) -> bool {
    url.scheme().starts_with("rediss")
}

/// The layout, its nodes and the database; the error quotes nothing.
fn parse(url: &Url) -> Result<(Layout, Vec<Node>, u16), String> {
    let query = url.query();
    let (layout, default_port) = match url.scheme() {
        "redis" | "rediss" => (Layout::Single, 6379),
        "redis-cluster" | "rediss-cluster" => (Layout::Cluster, 6379),
        _ => (sentinel(&query)?, 26379),
    };
    only(&query, parameters(&layout))?;
    let mut nodes =
        vec![Node { host: url.host().to_owned(), port: url.port().unwrap_or(default_port) }];
    for (_, value) in query.iter().filter(|(name, _)| name == "node") {
        nodes.push(node(value).ok_or("expected `node=host:port`")?);
    }
    let database = database(url.path())
        .ok_or("expected nothing but a database number after the host, such as `/1`")?;
    if matches!(layout, Layout::Cluster) && database != 0 {
        return Err("expected no database number: a cluster has only database 0".to_owned());
    }
    Ok((layout, nodes, database))
}

/// The parameters that the query may have, named as the client library names them.
fn parameters(layout: &Layout) -> &'static [&'static str] {
    match layout {
        Layout::Single => &[],
        Layout::Cluster => &["node"],
        Layout::Sentinel { .. } => {
            &["node", "sentinelServiceName", "sentinelUsername", "sentinelPassword"]
        }
    }
}

fn only(query: &[(String, String)], known: &[&str]) -> Result<(), String> {
    if query.iter().all(|(name, _)| known.contains(&name.as_str())) {
        return Ok(());
    }
    Err(match known {
        [] => "expected no `?` and no parameters".to_owned(),
        known => format!("expected no parameters but `{}`", known.join("`, `")),
    })
}

fn sentinel(query: &[(String, String)]) -> Result<Layout, String> {
    let find = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, text)| text);
    let service = find("sentinelServiceName").ok_or(
        "expected the parameter `sentinelServiceName`, such as `?sentinelServiceName=mymaster`",
    )?;
    let username = find("sentinelUsername").map_or("", String::as_str);
    let credentials = Credentials::new(username, find("sentinelPassword").map(Secret::new));
    Ok(Layout::Sentinel { service: service.clone(), credentials })
}

fn node(text: &str) -> Option<Node> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    (!host.is_empty()).then(|| Node { host: host.to_owned(), port })
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

    fn check_wrong(text: &str, expected: &str) {
        assert_eq!(read(text).expect_err("a mistake"), expected);
    }

    #[test]
    fn a_single_server_has_a_database() {
        let (layout, nodes, database) = read("redis://cache/3").expect("a place");
        assert!(matches!(layout, Layout::Single));
        assert_eq!((nodes, database), (vec![Node { host: "cache".into(), port: 6379 }], 3));
    }

    #[test]
    fn a_cluster_is_found_through_any_of_its_nodes() {
        let (_, nodes, _) = read("redis-cluster://a:1?node=b:2&node=[::1]:3").expect("a place");
        let hosts: Vec<_> = nodes.iter().map(|node| (node.bare_host(), node.port)).collect();
        assert_eq!(hosts, [("a", 1), ("b", 2), ("::1", 3)]);
    }

    #[test]
    fn sentinels_have_credentials_of_their_own() {
        let text = "redis-sentinel://me:pw@a/1?sentinelServiceName=m&sentinelPassword=other";
        let (layout, nodes, database) = read(text).expect("a place");
        let Layout::Sentinel { service, credentials } = layout else { panic!("Sentinel") };
        assert_eq!((service.as_str(), nodes[0].port, database), ("m", 26379, 1));
        assert_eq!(credentials.password.expect("a password").expose(), "other");
    }

    #[test]
    fn what_a_url_cannot_say_is_a_mistake() {
        check_wrong("redis://a?db=1", "expected no `?` and no parameters");
        check_wrong("redis-cluster://a?nodes=b:1", "expected no parameters but `node`");
        check_wrong("redis-cluster://a?node=b", "expected `node=host:port`");
        check_wrong(
            "redis-cluster://a/1",
            "expected no database number: a cluster has only database 0",
        );
        check_wrong(
            "redis://a/one",
            "expected nothing but a database number after the host, such as `/1`",
        );
        check_wrong(
            "redis-sentinel://a",
            "expected the parameter `sentinelServiceName`, such as `?sentinelServiceName=mymaster`",
        );
    }
}
