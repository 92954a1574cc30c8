//! Parses the setting `url` as libpq does: <https://www.postgresql.org/docs/current/libpq-connect.html>.

use std::error::Error;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use probe::Secret;
use probe::config::{Fields, UrlParts, percent_decode};
use tokio_postgres::Config;
use tokio_postgres::config::SslNegotiation;

use crate::endpoint::Endpoint;
use crate::parameters;
use crate::session_attrs::SessionAttrs;
use crate::sslmode::SslMode;
use crate::tls_files::TlsFiles;

/// The servers and the credentials.
pub(crate) struct ConnectParams {
    /// The settings for the login, with `connect_timeout`.
    pub(crate) config: Config,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) sslmode: SslMode,
    pub(crate) session_attrs: SessionAttrs,
    pub(crate) tls_files: TlsFiles,
    /// Kept because a secret is masked in all texts only as long as its value exists.
    pub(crate) password: Option<Secret>,
}

/// Reads `url`. It is never passed to the client library, since the library's errors quote parts of it.
pub(crate) fn read(fields: &mut Fields<'_>) -> Option<ConnectParams> {
    let url: Secret = fields.required("url")?;
    parse(url.expose()).map_err(|message| fields.error("url", message)).ok()
}

fn parse(url: &str) -> Result<ConnectParams, String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err("expected a URL that begins with `postgres://` or `postgresql://`".to_owned());
    }
    let parts = UrlParts::split(url)?;
    if parts.path.contains('@') {
        return Err("expected every `@` before the parameters to be written as `%40`, and `/`, `?` and `#` in the user or the password as `%2F`, `%3F` and `%23`".to_owned());
    }
    let parameters = parts.query.split('&').filter(|parameter| !parameter.is_empty());
    let has_user = |parameter: &str| parameter.starts_with("user=") && parameter != "user=";
    if parts.username.is_empty() && !parameters.clone().any(has_user) {
        let mut message = "expected a user, as in `postgres://user@host`".to_owned();
        // What looks like the host may be the beginning of a user-info whose password has a `?`.
        if parts.query.contains('@') {
            message +=
                ", and `/`, `?` and `#` in the password to be written as `%2F`, `%3F` and `%23`";
        }
        return Err(message);
    }
    let mut settings = Settings::from_parts(&parts)?;
    for parameter in parameters {
        let (name, value) = parameter
            .split_once('=')
            .ok_or("expected every parameter to be written as `name=value`")?;
        settings.set(name, percent_decode(value, "parameters")?)?;
    }
    settings.into_params()
}

/// The settings of a URL. A parameter replaces the same setting before the `?`.
struct Settings {
    user: String,
    password: Option<Secret>,
    database: String,
    hosts: Vec<String>,
    /// The addresses of the hosts, if they are given as well.
    addresses: Vec<String>,
    ports: Vec<String>,
    sslmode: Option<SslMode>,
    /// The demand of other clients' `ssl`, which `sslmode` replaces.
    ssl: Option<SslMode>,
    session_attrs: SessionAttrs,
    tls_files: TlsFiles,
    /// Whether the system's authorities are demanded with `sslrootcert=system`.
    trusts_system: bool,
    /// Settings that the client library validates, as `name='value'`.
    others: String,
}

impl Settings {
    fn from_parts(parts: &UrlParts<'_>) -> Result<Self, String> {
        let hosts = parts.hosts.split(',').map(split_port);
        let (hosts, ports): (Vec<_>, Vec<_>) = hosts.unzip();
        let hosts = hosts.into_iter().map(|host| percent_decode(host, "hosts"));
        let password = parts.password.map(|password| percent_decode(password, "user-info"));
        let database = parts.path.strip_prefix('/').unwrap_or_default();
        Ok(Self {
            user: percent_decode(parts.username, "user-info")?,
            password: password.transpose()?.map(Secret::new),
            database: percent_decode(database, "a path")?,
            hosts: hosts.collect::<Result<_, _>>()?,
            ports: ports.into_iter().map(str::to_owned).collect(),
            addresses: Vec::new(),
            sslmode: None,
            ssl: None,
            session_attrs: SessionAttrs::Any,
            tls_files: TlsFiles::default(),
            trusts_system: false,
            others: String::new(),
        })
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = value,
            "host" => self.hosts = value.split(',').map(str::to_owned).collect(),
            "hostaddr" => self.addresses = value.split(',').map(str::to_owned).collect(),
            "port" => self.ports = value.split(',').map(str::to_owned).collect(),
            "sslmode" => {
                let mode = SslMode::parse(&value).ok_or("expected `sslmode` to be `disable`, `prefer`, `require`, `verify-ca` or `verify-full`")?;
                self.sslmode = Some(mode);
            }
            "ssl" => self.ssl = parameters::parse_ssl(&value)?,
            "sslrootcert" if value == "system" => self.trusts_system = true,
            "sslrootcert" => self.tls_files.authorities = parse_path(value),
            "sslcert" => self.tls_files.certificate = parse_path(value),
            "sslkey" => self.tls_files.private_key = parse_path(value),
            "target_session_attrs" => {
                self.session_attrs = SessionAttrs::parse(&value).ok_or("expected `target_session_attrs` to be `any`, `read-write`, `read-only`, `primary`, `standby` or `prefer-standby`")?;
            }
            name if parameters::is_ignored(name, &value)? => {}
            name if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
                let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                self.others.extend([name, "='", &value, "' "]);
            }
            _ => return Err(UNSUPPORTED_PARAMETER.to_owned()),
        }
        Ok(())
    }

    fn into_params(self) -> Result<ConnectParams, String> {
        let endpoints = self.endpoints()?;
        let mut config: Config = self.others.parse().map_err(|error| explain(&error))?;
        if config.get_ssl_negotiation() == SslNegotiation::Direct {
            return Err("`sslnegotiation=direct` is not supported here".to_owned());
        }
        if config.get_application_name().is_none() {
            config.application_name("health-gateway");
        }
        // The module `server` negotiates TLS, since the library would silently fall back to plain text.
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        config.user(self.user);
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        if !self.database.is_empty() {
            config.dbname(self.database);
        }
        let sslmode = self.sslmode.or(self.ssl);
        // As in libpq, a weaker mode would accept any certificate of an authority.
        if self.trusts_system && sslmode.is_some_and(|mode| mode != SslMode::VerifyFull) {
            return Err("with `sslrootcert=system`, expected `sslmode=verify-full`".to_owned());
        }
        let default = if self.trusts_system { SslMode::VerifyFull } else { SslMode::Prefer };
        let sslmode = sslmode.unwrap_or(default);
        let files = &self.tls_files;
        if files.certificate.is_some() != files.private_key.is_some() {
            return Err("expected `sslcert` and `sslkey` together".to_owned());
        }
        let (session_attrs, tls_files, password) =
            (self.session_attrs, self.tls_files, self.password);
        Ok(ConnectParams { config, endpoints, sslmode, session_attrs, tls_files, password })
    }

    /// The addresses of the hosts, or nothing.
    fn addresses(&self) -> Result<Vec<Option<IpAddr>>, String> {
        if !self.addresses.is_empty() && self.addresses.len() != self.hosts.len() {
            return Err("expected one `hostaddr` for each host".to_owned());
        }
        let parse = |text: &String| match text.as_str() {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| "expected another value for `hostaddr`".to_owned()),
        };
        self.addresses.iter().map(parse).collect()
    }

    fn endpoints(&self) -> Result<Vec<Endpoint>, String> {
        let addresses = self.addresses()?;
        // As in libpq, an address needs no host.
        let is_host_needed = |index: usize| addresses.get(index).is_none_or(Option::is_none);
        if self
            .hosts
            .iter()
            .enumerate()
            .any(|(index, host)| host.is_empty() && is_host_needed(index))
        {
            return Err("expected a host, as in `postgres://user@host`".to_owned());
        }
        if self.ports.len() > 1 && self.ports.len() != self.hosts.len() {
            return Err("expected one port for all hosts, or one for each".to_owned());
        }
        let endpoint = |(index, host): (usize, &String)| {
            let port = self.ports.get(index).or(self.ports.first()).map_or("", String::as_str);
            let port = match port {
                "" => 5432,
                port => port
                    .parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or("expected another value for `port`")?,
            };
            let address = addresses.get(index).copied().flatten();
            Ok(match address {
                None if Path::new(host).is_absolute() => {
                    Endpoint::Unix(Path::new(host).join(format!(".s.PGSQL.{port}")))
                }
                Some(address) if host.is_empty() => {
                    Endpoint::Tcp { host: address.to_string(), address: None, port }
                }
                address => Endpoint::Tcp { host: host.clone(), address, port },
            })
        };
        self.hosts.iter().enumerate().map(endpoint).collect()
    }
}

/// A path, or nothing if it is empty, as in libpq.
fn parse_path(path: String) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty())
}

/// Splits `host:port` or `[address]:port`, each with or without the port.
fn split_port(text: &str) -> (&str, &str) {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (address, rest.strip_prefix(':').unwrap_or(rest));
    }
    text.split_once(':').unwrap_or((text, ""))
}

const UNSUPPORTED_PARAMETER: &str = "it has a parameter that is not supported here; certificates are set with `ca`, `certificate` and `private_key`";

/// Explains an error of the library without quoting the URL.
fn explain(error: &tokio_postgres::Error) -> String {
    const OPTIONS: [&str; 8] = [
        "connect_timeout",
        "tcp_user_timeout",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "channel_binding",
        "sslnegotiation",
        "load_balance_hosts",
    ];
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let is_about = |option: &&str| cause == format!("invalid value for option `{option}`");
    if let Some(option) = OPTIONS.into_iter().find(is_about) {
        return format!("expected another value for `{option}`");
    }
    UNSUPPORTED_PARAMETER.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            let url =
                format!("postgres://u:a%3Fb@db?connect_timeout=3&sslmode={word}&keepalives=1");
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
    fn parameters_replace_what_is_before_them() {
        let url = "postgresql://localhost:5432/app?user=app@myserver&password=Top+Secret99&sslmode=require";
        let params = parse(url).expect("psql accepts it");
        assert_eq!(params.endpoints[0].to_string(), "localhost:5432");
        assert_eq!(params.config.get_user(), Some("app@myserver"));
        assert_eq!(params.config.get_password(), Some(&b"Top+Secret99"[..]));
        assert_eq!(params.config.get_dbname(), Some("app"));
        check(
            "postgres://u:p@dummy/db?host=/cloudsql/a",
            &["/cloudsql/a/.s.PGSQL.5432"],
            SslMode::Prefer,
        );
        check("postgres://u@dummy?host=a,::1&port=1,2", &["a:1", "[::1]:2"], SslMode::Prefer);
        let params = parse("postgres://u@db/a?dbname=b&application_name=it%27s\\").expect("a URL");
        assert_eq!(params.config.get_dbname(), Some("b"));
        assert_eq!(params.config.get_application_name(), Some("it's\\"));
    }

    proptest! {
        #[test]
        fn no_password_is_part_of_a_target_or_an_error(
            before in "[a-z:@/?#%&=,]{0,6}",
            after in "[a-z:@/?#%&=,]{0,6}",
            position in 0..3_u8,
        ) {
            let secret = format!("{before}XsecretX{after}");
            let url = match position {
                0 => format!("postgres://u:{secret}@db:1/app?sslmode=require"),
                1 => format!("postgres://db:1/app?user=a@b&password={secret}&sslmode=require"),
                _ => format!("postgres://u@db/app?password={secret}"),
            };
            let shown = match parse(&url) {
                Err(message) => message,
                Ok(params) => params.endpoints.iter().map(ToString::to_string).collect(),
            };
            prop_assert!(!shown.contains("XsecretX"), "{url}: {shown}");
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
        check_error(
            "mysql://u:hunter2@db",
            "expected a URL that begins with `postgres://` or `postgresql://`",
        );
        check_error(
            "host=db password=hunter2",
            "expected a URL that begins with `postgres://` or `postgresql://`",
        );
        check_error("postgres://u:hunter2@db:port", "expected another value for `port`");
        check_error(
            "postgres://u:hunter2@db?hunter2",
            "expected every parameter to be written as `name=value`",
        );
        check_error(
            "postgres://app:Top@Secret99@host/app",
            "expected every `@` but the one before the host to be written as `%40`",
        );
        check_error(
            "postgres://u:hun?ter2@db",
            "expected a user, as in `postgres://user@host`, and `/`, `?` and `#` in the password to be written as `%2F`, `%3F` and `%23`",
        );
        check_error(
            "postgres://u:hun/ter2@db",
            "expected every `@` before the parameters to be written as `%40`, and `/`, `?` and `#` in the user or the password as `%2F`, `%3F` and `%23`",
        );
        check_error(
            "postgres://u@db?keepalives=hunter2",
            "expected another value for `keepalives`",
        );
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
        check_error(
            "postgres://u@db?sslnegotiation=direct",
            "`sslnegotiation=direct` is not supported here",
        );
        check_error("postgres://u@db?hostaddr=a", "expected another value for `hostaddr`");
        check_error("postgres://u@a,b?hostaddr=::1", "expected one `hostaddr` for each host");
        check_error("postgres://u@/app?hostaddr=", "expected a host, as in `postgres://user@host`");
    }

    #[test]
    fn an_address_replaces_the_look_up_of_its_host() {
        let params = parse("postgres://u@a,b,/app?hostaddr=127.0.0.1,,::1").expect("a URL");
        let tcp = |host: &str, address: Option<&str>| Endpoint::Tcp {
            host: host.to_owned(),
            address: address.map(|address| address.parse().expect("an address")),
            port: 5432,
        };
        let expected = [tcp("a", Some("127.0.0.1")), tcp("b", None), tcp("::1", None)];
        assert_eq!(params.endpoints, expected);
    }

    #[test]
    fn parameters_of_other_clients_are_ignored_unless_they_change_the_meaning() {
        check(
            "postgres://u@db?schema=app&pgbouncer=true&gssencmode=disable&client_encoding=utf8&application_name=a&connect_timeout=3&sslnegotiation=postgres&replication=false&sslsni=1",
            &["db:5432"],
            SslMode::Prefer,
        );
        for (parameter, mode) in [
            ("ssl=true", SslMode::Require),
            ("ssl=1", SslMode::Require),
            ("ssl=false", SslMode::Prefer),
            ("ssl=verify-full", SslMode::VerifyFull),
            ("sslmode=verify-ca&ssl=true", SslMode::VerifyCa),
        ] {
            check(&format!("postgres://u@db?{parameter}"), &["db:5432"], mode);
        }
        for parameter in [
            "gssencmode=require",
            "replication=database",
            "require_auth=scram-sha-256",
            "service=app",
            "sslcrl=/crl.pem",
            "ssl_min_protocol_version=TLSv1.3",
        ] {
            let (name, _) = parameter.split_once('=').expect("a value");
            let message = parse(&format!("postgres://u@db?{parameter}")).err().expect("an error");
            assert!(message.contains(name), "{message}");
        }
        check_error("postgres://u@db?ssl=hunter2", "expected another value for `ssl`");
        check_error(
            "postgres://u@db?passfile=/p",
            "`passfile` is not supported here, expected the password in the URL, as in `${file:/path}`",
        );
    }

    #[test]
    fn certificates_may_be_files() {
        let url = "postgres://u@db?sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=%2Fk.pem";
        let files = parse(url).expect("a URL").tls_files;
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(files.authorities, path("/ca.pem"));
        assert_eq!(files.certificate, path("/c.pem"));
        assert_eq!(files.private_key, path("/k.pem"));
        assert!(parse("postgres://u@db?sslrootcert=").expect("a URL").tls_files.is_empty());
        check("postgres://u@db?sslrootcert=system", &["db:5432"], SslMode::VerifyFull);
        check_error(
            "postgres://u@db?sslrootcert=system&sslmode=require",
            "with `sslrootcert=system`, expected `sslmode=verify-full`",
        );
        check_error("postgres://u@db?sslcert=/c.pem", "expected `sslcert` and `sslkey` together");
    }
}
