//! Parses the setting `url` as libpq does.

use std::error::Error;

use probe::Secret;
use probe::config::Fields;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslNegotiation};

use crate::endpoint::Endpoint;
use crate::sslmode::SslMode;

/// The servers and the credentials.
pub(crate) struct ConnectParams {
    /// The settings for the login, with `connect_timeout` and `target_session_attrs`.
    pub(crate) config: Config,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) sslmode: SslMode,
    /// Not read: a secret is masked in all texts as long as its value is alive.
    pub(crate) password: Option<Secret>,
}

/// Reads `url`. The errors of the library quote parts of it, so they are not shown.
pub(crate) fn read(fields: &mut Fields<'_>) -> Option<ConnectParams> {
    let url: Secret = fields.required("url")?;
    parse(url.expose()).map_err(|message| fields.error("url", message)).ok()
}

fn parse(url: &str) -> Result<ConnectParams, String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err("expected a URL that begins with `postgres://` or `postgresql://`".to_owned());
    }
    let (url, verifying_mode) = take_verifying_mode(url);
    let mut config: Config = url.parse().map_err(|error| explain(&error))?;
    let sslmode = verifying_mode.or_else(|| SslMode::from_config(config.get_ssl_mode()));
    let password = match config.get_password() {
        Some(password) => {
            let text = std::str::from_utf8(password).map_err(|_| "expected a password in UTF-8")?;
            Some(Secret::new(text))
        }
        None => None,
    };
    if config.get_user().is_none_or(str::is_empty) {
        return Err("expected a user, as in `postgres://user@host`".to_owned());
    }
    for (unsupported, option) in [
        (config.get_channel_binding() == ChannelBinding::Require, "channel_binding=require"),
        (config.get_ssl_negotiation() == SslNegotiation::Direct, "sslnegotiation=direct"),
        (!config.get_hostaddrs().is_empty(), "hostaddr"),
    ] {
        if unsupported {
            return Err(format!("`{option}` is not supported here"));
        }
    }
    if config.get_application_name().is_none() {
        config.application_name("health-gateway");
    }
    // TLS is negotiated by `server`: the library would fall back to plain text silently.
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    let endpoints = endpoints(&config)?;
    let sslmode = sslmode.ok_or("expected another `sslmode`")?;
    Ok(ConnectParams { config, endpoints, sslmode, password })
}

/// Removes `sslmode=verify-ca` and `sslmode=verify-full` from the URL: the library does not know them.
fn take_verifying_mode(url: &str) -> (String, Option<SslMode>) {
    // A question mark before the last `@` is part of the password.
    let host = url.rfind('@').unwrap_or(0);
    let Some(query) = url[host..].find('?').map(|at| host + at) else {
        return (url.to_owned(), None);
    };
    let mut mode = None;
    let others: Vec<_> = url[query + 1..]
        .split('&')
        .filter(|option| {
            let value = match *option {
                "sslmode=verify-ca" => SslMode::VerifyCa,
                "sslmode=verify-full" => SslMode::VerifyFull,
                _ => return true,
            };
            mode = Some(value);
            false
        })
        .collect();
    (format!("{}?{}", &url[..query], others.join("&")), mode)
}

fn endpoints(config: &Config) -> Result<Vec<Endpoint>, String> {
    let ports = config.get_ports();
    let hosts = config.get_hosts();
    if hosts.is_empty() || hosts.iter().any(|host| *host == Host::Tcp(String::new())) {
        return Err("expected a host, as in `postgres://user@host`".to_owned());
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err("expected one port for all hosts, or one for each".to_owned());
    }
    let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
    Ok(hosts.iter().enumerate().map(|(at, host)| Endpoint::new(host, port(at))).collect())
}

/// Explains an error of the library without quoting the URL.
fn explain(error: &tokio_postgres::Error) -> String {
    const OPTIONS: [&str; 11] = [
        "host",
        "port",
        "hostaddr",
        "connect_timeout",
        "tcp_user_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "target_session_attrs",
        "channel_binding",
        "load_balance_hosts",
    ];
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let is_about = |option: &&str| cause == format!("invalid value for option `{option}`");
    if is_about(&"sslmode") {
        return "expected `sslmode` to be `disable`, `prefer`, `require`, `verify-ca` or `verify-full`"
            .to_owned();
    }
    if let Some(option) = OPTIONS.into_iter().find(is_about) {
        return format!("expected another value for `{option}`");
    }
    if cause.starts_with("unknown option") {
        return "it has a parameter that is not supported here; certificates are set with `ca`, `certificate` and `private_key`"
            .to_owned();
    }
    "expected a URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`, percent-encoded"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, targets: &[&str], sslmode: SslMode) {
        let params = parse(url).expect("a URL");
        let endpoints: Vec<_> = params.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, targets);
        assert_eq!(params.sslmode, sslmode);
    }

    fn check_error(url: &str, expected: &str) {
        let message = parse(url).err().expect("an error");
        assert_eq!(message, expected);
    }

    #[test]
    fn each_host_has_its_port() {
        check("postgres://u@db/app", &["db:5432"], SslMode::Prefer);
        check("postgresql://u:p@a:1,b,[::1]:3/app", &["a:1", "b:5432", "[::1]:3"], SslMode::Prefer);
        check("postgres://u@%2Frun%2Fpg/app", &["/run/pg/.s.PGSQL.5432"], SslMode::Prefer);
    }

    #[test]
    fn every_sslmode_but_allow_is_supported() {
        for (word, mode) in [
            ("disable", SslMode::Disable),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ] {
            check(&format!("postgres://u@db/app?sslmode={word}"), &["db:5432"], mode);
            let url = format!("postgres://u:a?b@db?connect_timeout=3&sslmode={word}&keepalives=1");
            check(&url, &["db:5432"], mode);
        }
        for word in ["allow", "hunter2", "VERIFY-FULL", ""] {
            check_error(
                &format!("postgres://u@db?sslmode={word}"),
                "expected `sslmode` to be `disable`, `prefer`, `require`, `verify-ca` or `verify-full`",
            );
        }
    }

    #[test]
    fn a_password_is_decoded_and_masked() {
        let params = parse("postgres://u:hunter%40url@db").expect("a URL");
        assert_eq!(params.password.as_ref().map(Secret::expose), Some("hunter@url"));
        assert_eq!(probe::scrub("sent hunter@url"), "sent ***");
    }

    #[test]
    fn an_error_is_explained_without_quoting_the_url() {
        let syntax = "expected a URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`, percent-encoded";
        check_error(
            "mysql://u:hunter2@db",
            "expected a URL that begins with `postgres://` or `postgresql://`",
        );
        check_error(
            "host=db password=hunter2",
            "expected a URL that begins with `postgres://` or `postgresql://`",
        );
        check_error("postgres://u:hunter2@db:port", "expected another value for `port`");
        check_error("postgres://u:hunter2@db?hunter2", syntax);
        check_error(
            "postgres://u@db?hunter2=1",
            "it has a parameter that is not supported here; certificates are set with `ca`, `certificate` and `private_key`",
        );
        check_error("postgres://db", "expected a user, as in `postgres://user@host`");
        check_error("postgres://u@/app", "expected a host, as in `postgres://user@host`");
        check_error(
            "postgres://u@a,b?port=1,2,3",
            "expected one port for all hosts, or one for each",
        );
        check_error("postgres://u@db?hostaddr=127.0.0.1", "`hostaddr` is not supported here");
        check_error(
            "postgres://u@db?channel_binding=require",
            "`channel_binding=require` is not supported here",
        );
    }
}
