//! Parameters of URLs that this probe does not use, and what becomes of each.

use crate::sslmode::SslMode;

/// Settings of other clients: pools, caches of statements, timeouts, and names of schemas. They change nothing that the check examines.
const IGNORED: &[&str] = &[
    // libpq
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gsslib",
    "keepalives_count",
    "krbsrvname",
    "ssl_max_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslsni",
    // Prisma and Rails
    "checkout_timeout",
    "connection_limit",
    "encoding",
    "pgbouncer",
    "pool",
    "pool_timeout",
    "prepared_statements",
    "reaping_frequency",
    "schema",
    "socket_timeout",
    "statement_cache_size",
    "timeout",
    // SQLAlchemy, asyncpg and Django
    "command_timeout",
    "conn_health_checks",
    "conn_max_age",
    "disable_server_side_cursors",
    "max_overflow",
    "pool_pre_ping",
    "pool_recycle",
    "pool_size",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
    "server_settings",
    // pgx, node-postgres and sqlx
    "default_query_exec_mode",
    "description_cache_capacity",
    "idle_timeout",
    "max",
    "pool_health_check_period",
    "pool_max_conn_idle_time",
    "pool_max_conn_lifetime",
    "pool_max_conns",
    "pool_min_conns",
    "statement-cache-capacity",
    "statement_cache_capacity",
    // JDBC
    "ApplicationName",
    "connectTimeout",
    "currentSchema",
    "loginTimeout",
    "preparedStatementCacheQueries",
    "prepareThreshold",
    "reWriteBatchedInserts",
    "socketTimeout",
    "tcpKeepAlive",
    // Settings of a session
    "DateStyle",
    "TimeZone",
    "datestyle",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "timezone",
];

/// Parameters that would change which server is used, or what is demanded of it.
const UNSUPPORTED: &[&str] = &[
    "krbspn",
    "oauth_client_id",
    "oauth_issuer",
    "require_auth",
    "requirepeer",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "sslaccept",
    "sslcrl",
    "sslcrldir",
    "sslfactory",
    "sslidentity",
    "sslpassword",
];

/// Parameters that demand something with some values only: those that demand nothing.
const HARMLESS: &[(&str, &[&str])] = &[
    ("gssencmode", &["disable", "prefer"]),
    ("replication", &["false", "off", "no", "0"]),
    ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
];

/// Whether a parameter is ignored, or an error that names it. Only known names are quoted, since others may be a part of a password.
pub(crate) fn is_ignored(name: &str, value: &str) -> Result<bool, String> {
    if UNSUPPORTED.contains(&name) {
        return Err(format!("`{name}` is not supported here"));
    }
    if name == "passfile" {
        return Err("`passfile` is not supported here, expected the password in the URL, as in `${file:/path}`".to_owned());
    }
    match HARMLESS.iter().find(|(known, _)| *known == name) {
        Some((_, values)) if values.contains(&value) => Ok(true),
        Some((name, _)) => Err(format!("this value of `{name}` is not supported here")),
        None => Ok(IGNORED.contains(&name)),
    }
}

/// The demand of `ssl`. Its values are a boolean in JDBC and node-postgres, and an `sslmode` in asyncpg.
pub(crate) fn parse_ssl(value: &str) -> Result<Option<SslMode>, String> {
    match value {
        "true" | "1" | "on" => Ok(Some(SslMode::Require)),
        "false" | "0" | "off" => Ok(None),
        mode => match SslMode::parse(mode) {
            Some(mode) => Ok(Some(mode)),
            None => Err("expected another value for `ssl`".to_owned()),
        },
    }
}
