//! The settings of one distribution.

use aws_client::{Aws, Hosts};
use http::Uri;
use probe::SharedResources;
use probe::config::{Fields, Url};

use crate::check::CloudFront;
use crate::distribution::Distribution;
use crate::edge::{Edge, Expected};

/// `CloudFront` is asked here, wherever its edges are.
const REGION: &str = "us-east-1";

/// Reads a table; what is wrong is noted.
pub(crate) fn read(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<CloudFront> {
    let id: Option<String> = fields.optional("distribution");
    let asks_api = fields.has("distribution");
    let asks_edge = fields.has("object");
    if !asks_api && !asks_edge {
        fields.error(
            "distribution",
            "expected `distribution`, or `object` and `domain`, or all three",
        );
    }
    let id = id.filter(|id| is_id(fields, id));
    let edge = read_edge(fields, asks_api);
    if !asks_api {
        let tls = net::TlsSettings::read(fields);
        let hosts = Hosts::shared(shared, &tls?);
        return Some(CloudFront::new(None, Some(Edge::new(hosts, edge?))));
    }
    let aws = Aws::read(fields, shared, Some(REGION));
    let (aws, edge) = (aws?, if asks_edge { Some(edge?) } else { None });
    let edge = edge.map(|expected| Edge::new(aws.hosts().clone(), expected));
    Some(CloudFront::new(Some(Distribution::new(aws, id?)), edge))
}

/// The settings of the half that fetches an object.
fn read_edge(fields: &mut Fields<'_>, knows_domain: bool) -> Option<Expected> {
    let object: Option<String> = fields.optional("object");
    let domain: Option<String> = fields.optional("domain");
    let address = address(fields);
    let status = fields.with_default("status", 200_u16);
    let contains: Option<String> = fields.optional("contains");
    if !fields.has("object") {
        for key in ["domain", "address", "status", "contains"] {
            if fields.has(key) {
                fields.error(key, "expected only with `object`");
            }
        }
        return None;
    }
    if !knows_domain && !fields.has("domain") {
        fields.error("object", "expected `domain` beside it, or `distribution`");
    }
    if !(100..600).contains(&status) {
        fields.error("status", "expected a status such as `200`");
    }
    let object = object.filter(|path| is_path(fields, path));
    let domain_is_read = !fields.has("domain") || domain.is_some();
    let domain = domain.filter(|domain| is_domain(fields, domain));
    let contains_is_read = !fields.has("contains") || contains.is_some();
    let (path, address) = (object?, address.ok()?);
    (domain_is_read && contains_is_read).then_some(Expected {
        domain,
        address,
        path,
        status,
        contains,
    })
}

/// Where to connect in place of the domain, if that is written; the error is a mistake that is noted, or a value that is not known yet.
fn address(fields: &mut Fields<'_>) -> Result<Option<Url>, ()> {
    let url = fields.optional_url("address", &["http", "https"]);
    if !fields.has("address") {
        return Ok(None);
    }
    let url = url.ok_or(())?;
    if !url.username().is_empty() || url.password().is_some() || url.path_and_query() != "/" {
        fields.error("address", "expected a URL of nothing but scheme, host and port");
        return Err(());
    }
    Ok(Some(url))
}

fn is_id(fields: &mut Fields<'_>, id: &str) -> bool {
    let fits = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !fits {
        fields.error("distribution", "expected a distribution's id such as `E2QWRUHAPOMQZL`");
    }
    fits
}

fn is_path(fields: &mut Fields<'_>, path: &str) -> bool {
    let fits = path.starts_with('/') && path.parse::<Uri>().is_ok();
    if !fits {
        fields.error("object", "expected a path such as `/health.txt`, percent-encoded");
    }
    fits
}

fn is_domain(fields: &mut Fields<'_>, domain: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let fits = domain.len() <= 253 && domain.split('.').all(part);
    if !fits {
        fields.error("domain", "expected a domain such as `cdn.example.com`");
    }
    fits
}
