//! The table of probes: one row for each kind of component in this build.

use probe::Kind;

/// Every kind, sorted by its name.
pub const KINDS: &[Kind] = &[
    #[cfg(feature = "probe-cache")]
    probe_cache::KIND,
    #[cfg(feature = "probe-celery")]
    probe_celery::KIND,
    #[cfg(feature = "probe-cloudfront")]
    probe_cloudfront::KIND,
    #[cfg(feature = "probe-history")]
    probe_history::KIND,
    #[cfg(feature = "probe-postgres")]
    probe_postgres::KIND,
    #[cfg(feature = "probe-rabbit")]
    probe_rabbit::KIND,
    #[cfg(feature = "probe-redis")]
    probe_redis::KIND,
    #[cfg(feature = "probe-s3")]
    probe_s3::KIND,
    #[cfg(feature = "probe-vault")]
    probe_vault::KIND,
    #[cfg(feature = "probe-websocket")]
    probe_websocket::KIND,
];

/// The kind called `name`.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
