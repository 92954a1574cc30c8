//! The parameters of a Redis URL, as the clients of Redis in several languages know them.
//!
//! redis-py (and Celery, which uses it): <https://redis.readthedocs.io/en/stable/connections.html>.
//! go-redis: <https://pkg.go.dev/github.com/redis/go-redis/v9#ParseURL>.
//! Lettuce: <https://redis.github.io/lettuce/user-guide/connecting-redis/>.

use net::Verification;
use probe::config::Parameter;

/// What the parameters of a URL say that matters here.
#[derive(Debug, Default)]
pub(crate) struct Parameters<'a> {
    pub(crate) database: Option<&'a str>,
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) nodes: Vec<&'a str>,
    pub(crate) service: Option<&'a str>,
    pub(crate) sentinel_username: Option<&'a str>,
    pub(crate) sentinel_password: Option<&'a str>,
    /// What is verified of the server's certificate, if the URL says so.
    pub(crate) verification: Option<Verification>,
    pub(crate) check_hostname: Option<bool>,
    /// Whether the URL says that TLS is used, beside its scheme.
    pub(crate) tls: Option<bool>,
    /// Those that have no meaning here.
    pub(crate) ignored: Vec<&'static str>,
}

/// Parameters of other clients that concern their own pools, deadlines and replies.
#[rustfmt::skip]
pub(crate) const IGNORED: &[&str] = &[
    "allowUsernameInURI", "clientName", "client_name", "commandTimeout", "conn_max_idle_time",
    "conn_max_lifetime", "connectTimeout", "connectionName", "decode_responses", "dial_timeout",
    "disable_identity", "encoding", "encoding_errors", "enableReadyCheck", "family",
    "health_check_interval", "identity_suffix", "idle_check_frequency", "idle_timeout",
    "keepAlive", "lazy", "lazyConnect", "lib_name", "lib_version", "libraryName",
    "libraryVersion", "max_active_conns", "max_conn_age", "max_connections", "max_idle_conns",
    "max_redirects", "max_retries", "max_retry_backoff", "maxRetriesPerRequest",
    "min_idle_conns", "min_retry_backoff", "persistent", "persistent_id", "pool_fifo",
    "pool_size", "pool_timeout", "protocol", "read_only", "read_timeout", "retry_interval",
    "retry_on_error", "retry_on_timeout", "route_by_latency", "route_randomly",
    "single_connection_client", "socket_connect_timeout", "socket_keepalive",
    "socket_read_size", "socket_timeout", "ssl_ciphers", "ssl_min_version", "tcp_keepalive",
    "timeout", "write_timeout",
];

/// Parameters with the paths of files, and the setting of the section that takes their place. If that is set, they are ignored.
const FILES: &[(&str, &str)] = &[
    ("ssl_ca_certs", "ca"),
    ("ssl_ca_path", "ca"),
    ("ssl_ca_data", "ca"),
    ("ssl_certfile", "certificate"),
    ("ssl_keyfile", "private_key"),
];

/// Parameters that would change what is checked, and what is right in their place.
const REFUSED: &[(&str, &str)] = &[
    ("global_keyprefix", "the setting `key_prefix`"),
    ("keyPrefix", "the setting `key_prefix`"),
    ("key_prefix", "the setting `key_prefix`"),
    ("prefix", "the setting `key_prefix`"),
    ("redis_cluster", "a URL that begins with `redis-cluster://`"),
    ("redis_sentinel", "`redis-sentinel://host?sentinelServiceName=name`"),
    ("sentinel_master", "`redis-sentinel://host?sentinelServiceName=name`"),
    ("ssl_password", "a private key that is not encrypted, in the setting `private_key`"),
    ("ssl_validate_ocsp", "no verification by OCSP"),
    ("ssl_validate_ocsp_stapled", "no verification by OCSP"),
];

const CERTIFICATE_DEMANDS: &str = "expected `ssl_cert_reqs=required`, `optional` or `none`";

impl<'a> Parameters<'a> {
    /// Reads the parameters of a URL. `has_setting` says whether the section has a setting. An error does not quote any part of the URL.
    pub(crate) fn read(
        query: &'a [Parameter],
        has_setting: &dyn Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let mut all = Self::default();
        for parameter in query {
            all.add(&parameter.name, parameter.expose(), has_setting)?;
        }
        all.ignored.sort_unstable();
        all.ignored.dedup();
        Ok(all)
    }

    fn add(
        &mut self,
        name: &str,
        value: &'a str,
        has_setting: &dyn Fn(&str) -> bool,
    ) -> Result<(), String> {
        match name {
            "db" | "database" | "dbindex" | "virtual_host" => set(&mut self.database, value, "db"),
            "username" | "user" => set(&mut self.username, value, "username"),
            "password" | "pass" => set(&mut self.password, value, "password"),
            "node" | "addr" => {
                self.nodes.push(value);
                Ok(())
            }
            "sentinelServiceName" | "sentinelMasterId" | "service_name" | "master_name" => {
                set(&mut self.service, value, "sentinelServiceName")
            }
            "sentinelUsername" => set(&mut self.sentinel_username, value, name),
            "sentinelPassword" => set(&mut self.sentinel_password, value, name),
            "ssl_cert_reqs" => self.verify(match value.trim_start_matches("CERT_") {
                "required" | "REQUIRED" | "optional" | "OPTIONAL" => Verification::Full,
                "none" | "NONE" => Verification::None,
                _ => return Err(CERTIFICATE_DEMANDS.to_owned()),
            }),
            "verifyPeer" => self.verify(match value {
                "FULL" | "true" => Verification::Full,
                "CA" => Verification::Chain,
                "NONE" | "false" => Verification::None,
                _ => return Err("expected `verifyPeer=FULL`, `CA` or `NONE`".to_owned()),
            }),
            "skip_verify" => {
                let skip = boolean(name, value)?;
                self.verify(if skip { Verification::None } else { Verification::Full })
            }
            "ssl_check_hostname" => set(&mut self.check_hostname, boolean(name, value)?, name),
            "ssl" | "tls" => set(&mut self.tls, boolean(name, value)?, name),
            _ => self.add_other(name, has_setting),
        }
    }

    /// A parameter that is not understood here.
    fn add_other(&mut self, name: &str, has_setting: &dyn Fn(&str) -> bool) -> Result<(), String> {
        if let Some(known) = IGNORED.iter().find(|known| **known == name) {
            self.ignored.push(known);
            return Ok(());
        }
        if let Some((known, setting)) = FILES.iter().find(|(known, _)| *known == name) {
            if has_setting(setting) {
                self.ignored.push(known);
                return Ok(());
            }
            return Err(format!(
                "expected the setting `{setting} = \"${{file:/path}}\"` beside `{known}`, which is not read here"
            ));
        }
        match REFUSED.iter().find(|(known, _)| *known == name) {
            Some((known, right)) => Err(format!("expected {right} instead of `{known}`")),
            None => Err("expected no parameters but `db`, `username`, `password`, `node`, `sentinelServiceName`, `sentinelUsername`, `sentinelPassword`, `ssl_cert_reqs`, `ssl_check_hostname`, and those of other clients that are ignored".to_owned()),
        }
    }

    /// Records what is verified of the server's certificate.
    pub(crate) fn verify(&mut self, verification: Verification) -> Result<(), String> {
        set(&mut self.verification, verification, "ssl_cert_reqs")
    }
}

/// Sets a value that may be given several times only if it is the same.
fn set<T: PartialEq>(slot: &mut Option<T>, value: T, name: &str) -> Result<(), String> {
    if slot.as_ref().is_some_and(|known| *known != value) {
        return Err(format!("expected `{name}` only once"));
    }
    *slot = Some(value);
    Ok(())
}

fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value.to_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(format!("expected `{name}=true` or `{name}=false`")),
    }
}
