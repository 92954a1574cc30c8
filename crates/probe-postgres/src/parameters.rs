//! The parameters of URLs that clients of PostgreSQL know, and what becomes of each.
//!
//! libpq: <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>.

use probe::config::ParameterRules;
use probe::config::Treatment::{Honoured, Ignored, IgnoredIf, Refused};

use crate::sslmode::SslMode;

/// The rules. `docs/compatibility.md` lists them.
pub const PARAMETERS: &ParameterRules = &[
    // The server and the user.
    ("application_name", Honoured),
    ("channelBinding", Honoured),
    ("channel_binding", Honoured),
    ("connect_timeout", Honoured),
    ("dbname", Honoured),
    ("host", Honoured),
    ("hostaddr", Honoured),
    ("options", Honoured),
    ("passfile", Honoured),
    ("password", Honoured),
    ("port", Honoured),
    ("targetServerType", Honoured),
    ("target_session_attrs", Honoured),
    ("user", Honoured),
    // TLS. The names with a hyphen are those of sqlx.
    ("ssl", Honoured),
    ("ssl-ca", Honoured),
    ("ssl-cert", Honoured),
    ("ssl-key", Honoured),
    ("ssl-mode", Honoured),
    ("ssl-root-cert", Honoured),
    ("sslcert", Honoured),
    ("sslkey", Honoured),
    ("sslmode", Honoured),
    ("sslnegotiation", Honoured),
    ("sslrootcert", Honoured),
    ("ssl_max_protocol_version", IgnoredIf(&["TLSv1.2", "TLSv1.3"])),
    ("ssl_min_protocol_version", IgnoredIf(&["TLSv1", "TLSv1.1", "TLSv1.2"])),
    ("sslaccept", IgnoredIf(&["accept_invalid_certs"])),
    ("sslcertmode", IgnoredIf(&["allow", "disable"])),
    ("sslcompression", Ignored),
    ("sslkeylogfile", Ignored),
    ("sslsni", Ignored),
    ("sslcrl", Refused("")),
    ("sslcrldir", Refused("")),
    ("sslfactory", Refused("`sslmode` and `ca`")),
    ("sslidentity", Refused("`sslcert` and `sslkey`")),
    ("sslpassword", Refused("a private key that is not encrypted")),
    ("requiressl", Refused("`sslmode=require`")),
    // Other demands of libpq.
    ("gssEncMode", IgnoredIf(&["disable", "allow", "prefer"])),
    ("gssencmode", IgnoredIf(&["disable", "prefer"])),
    ("max_protocol_version", Ignored),
    ("min_protocol_version", IgnoredIf(&["3.0"])),
    ("replication", IgnoredIf(&["false", "off", "no", "0"])),
    ("krbspn", Refused("")),
    ("oauth_client_id", Refused("")),
    ("oauth_issuer", Refused("")),
    ("require_auth", Refused("")),
    ("requirepeer", Refused("")),
    ("scram_client_key", Refused("`password`")),
    ("scram_server_key", Refused("`password`")),
    ("service", Refused("its parameters in the URL")),
    ("servicefile", Refused("its parameters in the URL")),
    // What libpq does on its own connection. Connections here have keep-alive after 30 s.
    ("client_encoding", Ignored),
    ("fallback_application_name", Ignored),
    ("gssdelegation", Ignored),
    ("gsslib", Ignored),
    ("keepalives", Ignored),
    ("keepalives_count", Ignored),
    ("keepalives_idle", Ignored),
    ("keepalives_interval", Ignored),
    ("krbsrvname", Ignored),
    ("load_balance_hosts", Ignored),
    ("tcp_user_timeout", Ignored),
    // Prisma, Rails and Ecto
    ("checkout_timeout", Ignored),
    ("connection_limit", Ignored),
    ("encoding", Ignored),
    ("max_idle_connection_lifetime", Ignored),
    ("pgbouncer", Ignored),
    ("pool", Ignored),
    ("pool_timeout", Ignored),
    ("prepared_statements", Ignored),
    ("reaping_frequency", Ignored),
    ("schema", Ignored),
    ("socket_timeout", Ignored),
    ("statement_cache_size", Ignored),
    ("timeout", Ignored),
    // SQLAlchemy, asyncpg, Django and Doctrine
    ("charset", Ignored),
    ("command_timeout", Ignored),
    ("conn_health_checks", Ignored),
    ("conn_max_age", Ignored),
    ("disable_server_side_cursors", Ignored),
    ("max_overflow", Ignored),
    ("pool_pre_ping", Ignored),
    ("pool_recycle", Ignored),
    ("pool_size", Ignored),
    ("prepared_statement_cache_size", Ignored),
    ("prepared_statement_name_func", Ignored),
    ("serverVersion", Ignored),
    ("server_settings", Ignored),
    // pgx, lib/pq, node-postgres, sqlx, Supabase and YugabyteDB
    ("binary_parameters", Ignored),
    ("default_query_exec_mode", Ignored),
    ("description_cache_capacity", Ignored),
    ("idle_timeout", Ignored),
    ("load_balance", Ignored),
    ("max", Ignored),
    ("pool_health_check_period", Ignored),
    ("pool_max_conn_idle_time", Ignored),
    ("pool_max_conn_lifetime", Ignored),
    ("pool_max_conn_lifetime_jitter", Ignored),
    ("pool_max_conns", Ignored),
    ("pool_min_conns", Ignored),
    ("pool_min_idle_conns", Ignored),
    ("statement-cache-capacity", Ignored),
    ("statement_cache_capacity", Ignored),
    ("supa", Ignored),
    ("topology_keys", Ignored),
    ("uselibpqcompat", Ignored),
    // JDBC
    ("ApplicationName", Ignored),
    ("connectTimeout", Ignored),
    ("currentSchema", Ignored),
    ("loadBalanceHosts", Ignored),
    ("loginTimeout", Ignored),
    ("preparedStatementCacheQueries", Ignored),
    ("prepareThreshold", Ignored),
    ("reWriteBatchedInserts", Ignored),
    ("socketTimeout", Ignored),
    ("stringtype", Ignored),
    ("tcpKeepAlive", Ignored),
    // Settings of a session
    ("DateStyle", Ignored),
    ("TimeZone", Ignored),
    ("datestyle", Ignored),
    ("idle_in_transaction_session_timeout", Ignored),
    ("lock_timeout", Ignored),
    ("search_path", Ignored),
    ("statement_timeout", Ignored),
    ("timezone", Ignored),
];

/// Ignored parameters that decide in which schema the application finds a table.
const SCHEMAS: [&str; 3] = ["schema", "currentSchema", "search_path"];

/// libpq's name for what other clients call otherwise.
pub(crate) fn canonical(name: &str) -> &str {
    match name {
        "channelBinding" => "channel_binding",
        "targetServerType" => "target_session_attrs",
        "ssl-ca" | "ssl-root-cert" => "sslrootcert",
        "ssl-cert" => "sslcert",
        "ssl-key" => "sslkey",
        "ssl-mode" => "sslmode",
        name => name,
    }
}

/// The parameter among these `ignored` ones that decides in which schema the application finds a table.
pub(crate) fn schema(ignored: &[&'static str]) -> Option<&'static str> {
    ignored.iter().copied().find(|name| SCHEMAS.contains(name))
}

/// The demand of `ssl`. Its values are a boolean in node-postgres and JDBC, where it demands a verified certificate, and an `sslmode` in asyncpg.
pub(crate) fn parse_ssl(value: &str, is_jdbc: bool) -> Result<Option<SslMode>, String> {
    match value {
        "true" | "1" | "on" | "" if is_jdbc => Ok(Some(SslMode::VerifyFull)),
        "true" | "1" | "on" => Ok(Some(SslMode::Require)),
        "false" | "0" | "off" => Ok(None),
        mode => match SslMode::parse(mode) {
            Some(mode) => Ok(Some(mode)),
            None => Err("expected another value for `ssl`".to_owned()),
        },
    }
}
