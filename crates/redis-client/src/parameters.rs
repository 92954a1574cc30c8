//! The parameters of Redis URLs that clients of Redis in several languages know.
//!
//! redis-py (and Celery, which uses it): <https://redis.readthedocs.io/en/stable/connections.html>.
//! go-redis: <https://pkg.go.dev/github.com/redis/go-redis/v9#ParseURL>.
//! Lettuce: <https://redis.github.io/lettuce/user-guide/connecting-redis/>.

use net::{PemFile, PemFiles, Verification};
use probe::Secret;
use probe::config::Treatment::{Honoured, Ignored, Refused};
use probe::config::{Parameter, ParameterRules, Verdict, judge_parameter};

use crate::SentinelSettings;

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
    pub(crate) pem_files: PemFiles,
    /// Those that have no meaning here.
    pub(crate) ignored: Vec<&'static str>,
}

/// The rules. `docs/compatibility.md` lists them.
pub const PARAMETERS: &ParameterRules = &[
    // The database, the credentials and the servers.
    ("addr", Honoured),
    ("database", Honoured),
    ("db", Honoured),
    ("dbindex", Honoured),
    ("master_name", Honoured),
    ("node", Honoured),
    ("pass", Honoured),
    ("password", Honoured),
    ("sentinelMasterId", Honoured),
    ("sentinelPassword", Honoured),
    ("sentinelServiceName", Honoured),
    ("sentinelUsername", Honoured),
    ("sentinel_password", Honoured),
    ("sentinel_username", Honoured),
    ("service_name", Honoured),
    ("user", Honoured),
    ("username", Honoured),
    ("virtual_host", Honoured),
    // TLS.
    ("skip_verify", Honoured),
    ("ssl", Honoured),
    ("ssl_ca_certs", Honoured),
    ("ssl_cert_reqs", Honoured),
    ("ssl_certfile", Honoured),
    ("ssl_check_hostname", Honoured),
    ("ssl_keyfile", Honoured),
    ("tls", Honoured),
    ("verifyPeer", Honoured),
    ("ssl_ciphers", Ignored),
    ("ssl_exclude_verify_flags", Ignored),
    ("ssl_include_verify_flags", Ignored),
    ("ssl_min_version", Ignored),
    ("ssl_ca_data", Refused(CA)),
    ("ssl_ca_path", Refused(CA)),
    ("ssl_password", Refused("a private key that is not encrypted")),
    ("ssl_validate_ocsp", Refused("no verification by OCSP")),
    ("ssl_validate_ocsp_stapled", Refused("no verification by OCSP")),
    // What would change which keys or servers are checked.
    ("auth", Refused("`password`")),
    ("auth[]", Refused("a user and a password before the host")),
    ("credential_provider", Refused("a user and a password")),
    ("global_keyprefix", Refused(KEY_PREFIX)),
    ("is_master", Refused(SENTINEL)),
    ("keyPrefix", Refused(KEY_PREFIX)),
    ("key_prefix", Refused(KEY_PREFIX)),
    ("name", Refused(SENTINEL)),
    ("prefix", Refused(KEY_PREFIX)),
    ("redis_cluster", Refused("a URL that begins with `redis-cluster://`")),
    ("redis_sentinel", Refused(SENTINEL)),
    ("replica_only", Refused("the URL of a replica, with the setting `writable = false`,")),
    ("role", Refused("the URL of a replica, with the setting `writable = false`,")),
    ("sentinel_master", Refused(SENTINEL)),
    // redis-py, valkey-py, kombu and Django.
    ("client_class", Ignored),
    ("client_name", Ignored),
    ("decode_responses", Ignored),
    ("encoding", Ignored),
    ("encoding_errors", Ignored),
    ("health_check_interval", Ignored),
    ("ignore_exceptions", Ignored),
    ("legacy_responses", Ignored),
    ("lib_name", Ignored),
    ("lib_version", Ignored),
    ("max_connections", Ignored),
    ("protocol", Ignored),
    ("retry_on_error", Ignored),
    ("retry_on_timeout", Ignored),
    ("single_connection_client", Ignored),
    ("socket_connect_timeout", Ignored),
    ("socket_keepalive", Ignored),
    ("socket_read_size", Ignored),
    ("socket_timeout", Ignored),
    ("timeout", Ignored),
    ("visibility_timeout", Ignored),
    // go-redis.
    ("conn_max_idle_time", Ignored),
    ("conn_max_lifetime", Ignored),
    ("conn_max_lifetime_jitter", Ignored),
    ("dial_timeout", Ignored),
    ("dialer_retries", Ignored),
    ("dialer_retry_timeout", Ignored),
    ("disable_identity", Ignored),
    ("failing_timeout_seconds", Ignored),
    ("identity_suffix", Ignored),
    ("idle_check_frequency", Ignored),
    ("idle_timeout", Ignored),
    ("max_active_conns", Ignored),
    ("max_concurrent_dials", Ignored),
    ("max_conn_age", Ignored),
    ("max_idle_conns", Ignored),
    ("max_redirects", Ignored),
    ("max_retries", Ignored),
    ("max_retry_backoff", Ignored),
    ("min_idle_conns", Ignored),
    ("min_retry_backoff", Ignored),
    ("pipeline_pool_size", Ignored),
    ("pipeline_read_buffer_size", Ignored),
    ("pipeline_write_buffer_size", Ignored),
    ("pool_fifo", Ignored),
    ("pool_size", Ignored),
    ("pool_timeout", Ignored),
    ("read_only", Ignored),
    ("read_timeout", Ignored),
    ("route_by_latency", Ignored),
    ("route_randomly", Ignored),
    ("use_disconnected_replicas", Ignored),
    ("write_timeout", Ignored),
    // Lettuce, Jedis and ioredis.
    ("allowUsernameInURI", Ignored),
    ("autoResendUnfulfilledCommands", Ignored),
    ("autoResubscribe", Ignored),
    ("blockingTimeout", Ignored),
    ("clientName", Ignored),
    ("commandTimeout", Ignored),
    ("connectTimeout", Ignored),
    ("connectionName", Ignored),
    ("enableAutoPipelining", Ignored),
    ("enableOfflineQueue", Ignored),
    ("enableReadyCheck", Ignored),
    ("family", Ignored),
    ("keepAlive", Ignored),
    ("lazyConnect", Ignored),
    ("libraryName", Ignored),
    ("libraryVersion", Ignored),
    ("maxLoadingRetryTime", Ignored),
    ("maxRetriesPerRequest", Ignored),
    ("noDelay", Ignored),
    ("replyMapping", Ignored),
    ("socketTimeout", Ignored),
    ("stringNumbers", Ignored),
    // phpredis, Predis and Symfony.
    ("failover", Ignored),
    ("lazy", Ignored),
    ("persistent", Ignored),
    ("persistent_id", Ignored),
    ("read_write_timeout", Ignored),
    ("retry_interval", Ignored),
    ("tcp_keepalive", Ignored),
];

const CA: &str = "the setting `ca`, as in `ca = \"${file:ca.pem}\"`,";
const KEY_PREFIX: &str = "the setting `key_prefix`";
const SENTINEL: &str = "`redis-sentinel://host?sentinelServiceName=name`";

/// Parameters with certificates, and the setting of the section that takes their place. If that is set, they are ignored.
const CERTIFICATES: &[(&str, &str)] = &[
    ("ssl_ca_certs", "ca"),
    ("ssl_ca_path", "ca"),
    ("ssl_ca_data", "ca"),
    ("ssl_certfile", "certificate"),
    ("ssl_keyfile", "private_key"),
];

const UNKNOWN: &str = "expected no parameters but `db`, `username`, `password`, `node`, `sentinelServiceName`, `sentinelUsername`, `sentinelPassword`, `ssl_cert_reqs`, `ssl_check_hostname`, and those of other clients that are ignored";

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
        Ok(all)
    }

    fn add(
        &mut self,
        name: &str,
        value: &'a str,
        has_setting: &dyn Fn(&str) -> bool,
    ) -> Result<(), String> {
        let certificate = CERTIFICATES.iter().find(|(known, _)| *known == name);
        if let Some((known, _)) = certificate.filter(|(_, setting)| has_setting(setting)) {
            self.ignored.push(known);
            return Ok(());
        }
        match judge_parameter(PARAMETERS, name, value) {
            Verdict::Unknown => Err(UNKNOWN.to_owned()),
            // As in redis-py, kombu and go-redis, a parameter without a value is absent.
            _ if value.is_empty() => Ok(()),
            Verdict::Honoured => self.honour(name, value),
            Verdict::Ignored(name) => {
                self.ignored.push(name);
                Ok(())
            }
            Verdict::Refused(message) => Err(message),
        }
    }

    fn honour(&mut self, name: &str, value: &'a str) -> Result<(), String> {
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
            "sentinelUsername" | "sentinel_username" => {
                set(&mut self.sentinel_username, value, "sentinelUsername")
            }
            "sentinelPassword" | "sentinel_password" => {
                set(&mut self.sentinel_password, value, "sentinelPassword")
            }
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
            "ssl_ca_certs" => {
                self.pem_files.authorities = PemFile::new("ssl_ca_certs", value);
                Ok(())
            }
            "ssl_certfile" => {
                self.pem_files.certificate = PemFile::new("ssl_certfile", value);
                Ok(())
            }
            "ssl_keyfile" => {
                self.pem_files.private_key = PemFile::new("ssl_keyfile", value);
                Ok(())
            }
            _ => Err(UNKNOWN.to_owned()),
        }
    }

    /// Adds what settings beside the URL say about Sentinel.
    pub(crate) fn add_sentinel(&mut self, settings: &'a SentinelSettings) -> Result<(), String> {
        let SentinelSettings { service, username, password } = settings;
        let password = password.as_ref().map(Secret::expose);
        for (slot, value, name) in [
            (&mut self.service, service.as_deref(), "sentinelServiceName"),
            (&mut self.sentinel_username, username.as_deref(), "sentinelUsername"),
            (&mut self.sentinel_password, password, "sentinelPassword"),
        ] {
            if let Some(value) = value {
                set(slot, value, name)?;
            }
        }
        Ok(())
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
