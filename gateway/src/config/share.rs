//! The section `[share]`: where the replicas of a fleet share the results of checks.

use std::sync::Arc;

use net::TlsSettings;
use probe::config::{Diagnostics, Fields, Node, UrlText};
use probe::{Reconnect, Secret, SharedResources};
use redis_client::{Redis, SentinelSettings};

use crate::share::Store;

/// The name of the section, which is no component of the report.
pub(super) const SECTION: &str = "share";

const DEFAULT_PREFIX: &str = "health-gateway";

/// The longest prefix, since every key and every channel begins with it.
const MAX_PREFIX: usize = 100;

/// Reads the section, or returns `None` if it is wrong, which is reported, or if one of its values is not known yet.
pub(super) fn read(
    node: &Node,
    shared: &SharedResources,
    diagnostics: &Diagnostics,
) -> Option<Arc<Store>> {
    let mut fields = Fields::new(SECTION.to_owned(), node, diagnostics);
    let reconnect = Reconnect::read(&mut fields);
    let prefix = fields.with_default("prefix", DEFAULT_PREFIX.to_owned());
    let is_prefix = (1..=MAX_PREFIX).contains(&prefix.len())
        && prefix.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/".contains(c));
    if !is_prefix {
        let message = format!(
            "expected 1 to {MAX_PREFIX} letters, digits, and characters of `-`, `_`, `.`, `:` and `/`"
        );
        fields.error("prefix", message);
    }
    let url: Option<UrlText> = fields.required("store");
    let tls = TlsSettings::read(&mut fields);
    let redis = url.zip(tls).zip(reconnect).and_then(|((url, tls), reconnect)| {
        let sentinel = SentinelSettings::default();
        let is_encrypted = redis_client::is_encrypted(url.expose());
        tls.expect_use(&mut fields, is_encrypted, "a `store` that begins with `rediss`")?;
        Redis::from_url(shared, &mut fields, "store", &url, &tls, &sentinel, reconnect)
    });
    fields.finish();
    let redis = redis.filter(|_| is_prefix)?;
    let identity = redis.identity();
    let key = Secret::formatted(format_args!("{}\0{prefix}\0{:?}", identity.expose(), reconnect?));
    Some(shared.get_or_insert(&key, || Store::new(redis, prefix)))
}
