//! The settings of one distribution.

use aws_client::{AwsContext, ClientPool};
use http::Uri;
use probe::SharedResources;
use probe::config::{Fields, Url};

use crate::check::CloudFrontCheck;
use crate::distribution::Distribution;
use crate::edge::{Edge, ObjectSettings};

/// The region of `CloudFront`'s API.
const REGION: &str = "us-east-1";

/// Reads the settings of one distribution. Errors are reported in `fields`.
pub(crate) fn read(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<CloudFrontCheck> {
    let id: Option<String> = fields.optional("distribution");
    let has_distribution = fields.has("distribution");
    let has_object = fields.has("object");
    if !has_distribution && !has_object {
        fields.error(
            "distribution",
            "expected `distribution`, or `object` and `domain`, or all three",
        );
    }
    let id = id.filter(|id| validate_id(fields, id));
    let object = read_object(fields, has_distribution);
    if !has_distribution {
        let tls = net::TlsSettings::read(fields);
        let client_pool = ClientPool::shared(shared, &tls?);
        return Some(CloudFrontCheck::new(None, Some(Edge::new(client_pool, object?))));
    }
    let aws = AwsContext::read(fields, shared, Some(REGION));
    let (aws, object) = (aws?, if has_object { Some(object?) } else { None });
    let edge = object.map(|object| Edge::new(aws.client_pool().clone(), object));
    Some(CloudFrontCheck::new(Some(Distribution::new(aws, id?)), edge))
}

/// Reads the settings of the object, if one is configured.
fn read_object(fields: &mut Fields<'_>, has_distribution: bool) -> Option<ObjectSettings> {
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
    if !has_distribution && !fields.has("domain") {
        fields.error("object", "expected `domain` beside it, or `distribution`");
    }
    if !(100..600).contains(&status) {
        fields.error("status", "expected a status such as `200`");
    }
    let object = object.filter(|path| validate_path(fields, path));
    let domain_is_read = !fields.has("domain") || domain.is_some();
    let domain = domain.filter(|domain| validate_domain(fields, domain));
    let contains_is_read = !fields.has("contains") || contains.is_some();
    let (path, address) = (object?, address.ok()?);
    (domain_is_read && contains_is_read).then_some(ObjectSettings {
        domain,
        address,
        path,
        status,
        contains,
    })
}

/// Reads the address to connect to, if one is configured. Returns `Err` if it is wrong or not known yet.
fn address(fields: &mut Fields<'_>) -> Result<Option<Url>, ()> {
    let url = fields.optional_url("address", &["http", "https"]);
    if !fields.has("address") {
        return Ok(None);
    }
    let url = url.ok_or(())?;
    if !url.username().is_empty() || url.password().is_some() || url.path_and_query() != "/" {
        fields.error("address", "expected a URL with only scheme, host and port");
        return Err(());
    }
    Ok(Some(url))
}

fn validate_id(fields: &mut Fields<'_>, id: &str) -> bool {
    let is_valid =
        (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_valid {
        fields.error("distribution", "expected a distribution's id such as `E2QWRUHAPOMQZL`");
    }
    is_valid
}

fn validate_path(fields: &mut Fields<'_>, path: &str) -> bool {
    let is_valid = path.starts_with('/') && path.parse::<Uri>().is_ok();
    if !is_valid {
        fields.error("object", "expected a path such as `/health.txt`, percent-encoded");
    }
    is_valid
}

fn validate_domain(fields: &mut Fields<'_>, domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let is_valid = domain.len() <= 253 && domain.split('.').all(is_label);
    if !is_valid {
        fields.error("domain", "expected a domain such as `cdn.example.com`");
    }
    is_valid
}
