//! Parses the setting `url` as libpq does: <https://www.postgresql.org/docs/current/libpq-connect.html>.

use std::error::Error;
use std::net::IpAddr;
use std::path::Path;

use net::{PemFile, PemFiles};
use probe::Secret;
use probe::config::{
    EXPECTED_HOST, Fields, UrlParts, UrlText, Verdict, is_host, judge_parameter, percent_decode,
};
use tokio_postgres::Config;
use tokio_postgres::config::SslNegotiation;

use crate::endpoint::Endpoint;
use crate::parameters::{self, PARAMETERS};
use crate::passfile::Passfile;
use crate::session_attrs::SessionAttrs;
use crate::sslmode::SslMode;

/// The servers and the credentials.
pub(crate) struct ConnectParams {
    /// The settings for the login, with `connect_timeout`.
    pub(crate) config: Config,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) sslmode: SslMode,
    /// Whether TLS begins without a request for it.
    pub(crate) is_direct: bool,
    pub(crate) session_attrs: SessionAttrs,
    pub(crate) pem_files: PemFiles,
    /// Whether a certificate of our own is presented.
    pub(crate) presents_certificate: bool,
    /// Kept because a secret is masked in all texts only as long as its value exists.
    pub(crate) password: Option<Secret>,
    /// Has the password if the URL has none.
    pub(crate) passfile: Option<Passfile>,
    /// The ignored parameter of another client that decides in which schema the application finds a table.
    pub(crate) schema: Option<&'static str>,
    /// The ignored parameters.
    ignored: Vec<&'static str>,
}

/// The schemes, of which some are those of Django, Doctrine and Ecto.
const SCHEMES: [&str; 8] = [
    "postgres",
    "postgresql",
    "pgsql",
    "pdo-pgsql",
    "postgis",
    "timescale",
    "timescalegis",
    "ecto",
];

/// The drivers that `SQLAlchemy`, Doctrine and others name in the scheme, as in `postgresql+psycopg2://`.
#[rustfmt::skip]
const DRIVERS: [&str; 9] = [
    "aiopg", "asyncpg", "pg8000", "psycopg", "psycopg2", "psycopg2cffi", "psycopg_async",
    "psycopgbinary", "pygresql",
];

/// What the scheme of a URL says about its syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Libpq,
    /// `jdbc:postgresql://`.
    Jdbc,
    /// `postgresql+psycopg2://`, in which each of several `host` may have a port.
    SqlAlchemy,
}

impl Dialect {
    /// Decodes the value of a parameter. In libpq, `+` is itself.
    fn decode(self, value: &str) -> Result<String, String> {
        match self {
            Self::Libpq => percent_decode(value, "parameters"),
            Self::Jdbc | Self::SqlAlchemy => percent_decode(&value.replace('+', " "), "parameters"),
        }
    }
}

/// Reads `url`. It is never passed to the client library, since the library's errors quote parts of it.
pub(crate) fn read(fields: &mut Fields<'_>) -> Option<ConnectParams> {
    let url: UrlText = fields.required("url")?;
    let params = parse(url.expose()).map_err(|message| fields.error("url", message)).ok()?;
    if !params.presents_certificate && fields.has("certificate") {
        fields.error("url", "expected no `sslcertmode=disable` beside `certificate`");
        return None;
    }
    fields.note_unmaskable("url", params.password.as_ref());
    fields.note_ignored("url", params.ignored.clone());
    Some(params)
}

/// The dialect of a URL, and the URL without the prefix of JDBC.
fn dialect(url: &str) -> Option<(Dialect, &str)> {
    let (url, is_jdbc) = match url.strip_prefix("jdbc:") {
        Some(url) => (url, true),
        None => (url, false),
    };
    let (scheme, _) = url.split_once("://")?;
    let scheme = scheme.to_lowercase();
    let (scheme, driver) = match scheme.split_once('+') {
        Some((scheme, driver)) => (scheme, Some(driver)),
        None => (&*scheme, None),
    };
    let is_known = SCHEMES.contains(&scheme) && driver.is_none_or(|name| DRIVERS.contains(&name));
    let dialect = match (is_jdbc, driver) {
        (true, _) => Dialect::Jdbc,
        (false, Some(_)) => Dialect::SqlAlchemy,
        (false, None) => Dialect::Libpq,
    };
    is_known.then_some((dialect, url))
}

fn parse(url: &str) -> Result<ConnectParams, String> {
    let expected = "expected a URL that begins with `postgres://` or `postgresql://`";
    let (dialect, url) = dialect(url).ok_or(expected)?;
    let parts = UrlParts::split(url)?;
    // libpq takes it as a part of the name or the value, others leave out what follows.
    if url.contains('#') {
        return Err("expected every `#` to be written as `%23`".to_owned());
    }
    parts.expect_no_at_in_path()?;
    let parameters = parts.query.split('&').filter(|parameter| !parameter.is_empty());
    let user = parameters.clone().rev().find_map(|parameter| parameter.strip_prefix("user="));
    if user.unwrap_or(parts.username).is_empty() {
        let mut message = "expected a user, as in `postgres://user@host`".to_owned();
        // What looks like the host may be the beginning of a user-info whose password has a `?`.
        if parts.query.contains('@') {
            message +=
                ", and `/`, `?` and `#` in the password to be written as `%2F`, `%3F` and `%23`";
        }
        return Err(message);
    }
    match dialect {
        Dialect::Jdbc if !parts.username.is_empty() || parts.password.is_some() => {
            return Err("expected the user and the password as parameters after `jdbc:`, as in `?user=app&password=...`".to_owned());
        }
        Dialect::SqlAlchemy if parts.hosts.contains(',') => {
            return Err("expected several hosts of SQLAlchemy as parameters, as in `postgresql+psycopg2://user@/database?host=a:5432&host=b:5432`".to_owned());
        }
        _ => {}
    }
    let mut settings = Settings::from_parts(&parts, dialect)?;
    for parameter in parameters {
        let (name, value) = parameter
            .split_once('=')
            .ok_or("expected every parameter to be written as `name=value`")?;
        settings.set(name, dialect.decode(value)?)?;
    }
    settings.into_params()
}

/// The settings of a URL. A parameter replaces the same setting before the `?`.
struct Settings {
    dialect: Dialect,
    /// Whether the hosts are those of parameters.
    has_host_parameter: bool,
    passfile: Option<Passfile>,
    ignored: Vec<&'static str>,
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
    pem_files: PemFiles,
    /// Whether a certificate of our own is presented.
    presents_certificate: bool,
    /// Whether the system's authorities are demanded with `sslrootcert=system`.
    trusts_system: bool,
    /// Settings that the client library validates, as `name='value'`.
    others: String,
}

impl Settings {
    fn from_parts(parts: &UrlParts<'_>, dialect: Dialect) -> Result<Self, String> {
        let hosts = parts.hosts.split(',').map(split_port);
        let (hosts, ports): (Vec<_>, Vec<_>) = hosts.unzip();
        let hosts = hosts.into_iter().map(|host| percent_decode(host, "hosts"));
        let password = parts.password.map(|password| percent_decode(password, "user-info"));
        let database = parts.path.strip_prefix('/').unwrap_or_default();
        Ok(Self {
            dialect,
            has_host_parameter: false,
            passfile: None,
            ignored: Vec::new(),
            user: percent_decode(parts.username, "user-info")?,
            password: password.transpose()?.map(Secret::new),
            database: percent_decode(database, "a path")?,
            hosts: hosts.collect::<Result<_, _>>()?,
            ports: ports.into_iter().map(str::to_owned).collect(),
            addresses: Vec::new(),
            sslmode: None,
            ssl: None,
            session_attrs: SessionAttrs::Any,
            pem_files: PemFiles::default(),
            presents_certificate: true,
            trusts_system: false,
            others: String::new(),
        })
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match judge_parameter(PARAMETERS, name, &value) {
            Verdict::Honoured => self.honour(parameters::canonical(name), value),
            Verdict::Ignored(name) => {
                self.ignored.push(name);
                Ok(())
            }
            Verdict::Refused(message) => Err(message),
            Verdict::Unknown => Err(UNSUPPORTED_PARAMETER.to_owned()),
        }
    }

    fn honour(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = value,
            "host" if self.dialect == Dialect::SqlAlchemy => self.add_hosts(&value),
            "host" => self.hosts = value.split(',').map(str::to_owned).collect(),
            "hostaddr" => self.addresses = value.split(',').map(str::to_owned).collect(),
            "port" => self.ports = value.split(',').map(str::to_owned).collect(),
            "sslmode" => {
                let mode = SslMode::parse(&value).ok_or("expected `sslmode` to be `disable`, `prefer`, `require`, `verify-ca` or `verify-full`")?;
                self.sslmode = Some(mode);
            }
            "ssl" => self.ssl = parameters::parse_ssl(&value, self.dialect == Dialect::Jdbc)?,
            "passfile" => self.passfile = Passfile::new(&value),
            "sslrootcert" if value == "system" => self.trusts_system = true,
            "sslrootcert" => self.pem_files.authorities = PemFile::new("sslrootcert", &value),
            "sslcert" => self.pem_files.certificate = PemFile::new("sslcert", &value),
            "sslkey" => self.pem_files.private_key = PemFile::new("sslkey", &value),
            "sslcertmode" => {
                self.presents_certificate = match &*value {
                    "allow" => true,
                    "disable" => false,
                    _ => return Err("expected `sslcertmode` to be `allow` or `disable`".to_owned()),
                }
            }
            // As in libpq, there is no timeout.
            "connect_timeout" if value.is_empty() => {}
            "target_session_attrs" => {
                self.session_attrs = SessionAttrs::parse(&value).ok_or("expected `target_session_attrs` to be `any`, `read-write`, `read-only`, `primary`, `standby` or `prefer-standby`")?;
            }
            name => {
                let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                self.others.extend([name, "='", &value, "' "]);
            }
        }
        Ok(())
    }

    /// Adds hosts as `SQLAlchemy` writes them: `host=a:1&host=b:2`, or `host=a,b&port=1,2`.
    fn add_hosts(&mut self, value: &str) {
        if !self.has_host_parameter {
            (self.hosts, self.ports) = Default::default();
            self.has_host_parameter = true;
        }
        for host in value.split(',') {
            let (host, port) = if host.starts_with('/') { (host, "") } else { split_port(host) };
            self.hosts.push(host.to_owned());
            self.ports.push(port.to_owned());
        }
    }

    fn into_params(self) -> Result<ConnectParams, String> {
        let endpoints = self.endpoints()?;
        let mut config: Config = self.others.parse().map_err(|error| explain(&error))?;
        let is_direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
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
        // As in libpq, since TLS begins without asking whether the server has it.
        if is_direct && matches!(sslmode, SslMode::Disable | SslMode::Prefer) {
            let message = "with `sslnegotiation=direct`, expected `sslmode=require`, `verify-ca` or `verify-full`";
            return Err(message.to_owned());
        }
        if self.pem_files.is_incomplete() {
            return Err("expected `sslcert` and `sslkey` together".to_owned());
        }
        let mut pem_files = self.pem_files;
        if !self.presents_certificate {
            (pem_files.certificate, pem_files.private_key) = (None, None);
        }
        // As in libpq, the file is for URLs without a password.
        let passfile = self.passfile.filter(|_| self.password.is_none());
        Ok(ConnectParams {
            config,
            endpoints,
            sslmode,
            is_direct,
            session_attrs: self.session_attrs,
            pem_files,
            presents_certificate: self.presents_certificate,
            password: self.password,
            passfile,
            schema: parameters::schema(&self.ignored),
            ignored: self.ignored,
        })
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
                .map_err(|_| "expected `hostaddr` to be an IP address without a zone".to_owned()),
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
        let is_known = |host: &String| {
            is_host(host) || host.parse::<IpAddr>().is_ok() || Path::new(host).is_absolute()
        };
        if !self.hosts.iter().all(|host| host.is_empty() || is_known(host)) {
            return Err(format!("{EXPECTED_HOST}, or the path of a socket's folder"));
        }
        let endpoint = |(index, host): (usize, &String)| {
            let port = self.ports.get(index).or(self.ports.first()).map_or("", String::as_str);
            let port = match port {
                "" => 5432,
                port => port
                    .parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or("expected a port from 1 to 65535")?,
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
    const OPTIONS: [(&str, &str); 3] = [
        ("connect_timeout", "a number of seconds"),
        ("channel_binding", "`disable`, `prefer` or `require`"),
        ("sslnegotiation", "`postgres` or `direct`"),
    ];
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    for (option, expected) in OPTIONS {
        if cause == format!("invalid value for option `{option}`") {
            return format!("expected `{option}` to be {expected}");
        }
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
        check_error("postgres://u:hunter2@db:port", "expected a port from 1 to 65535");
        check_error(
            "postgres://u:hunter2@db?hunter2",
            "expected every parameter to be written as `name=value`",
        );
        check_error(
            "postgres://app:Top@Secret99@host/app",
            "expected every `@` but the one before the host to be written as `%40`",
        );
        check_error(
            "postgres://u:1?ter2@db",
            "expected a user, as in `postgres://user@host`, and `/`, `?` and `#` in the password to be written as `%2F`, `%3F` and `%23`",
        );
        check_error(
            "postgres://u:1/ter2@db",
            "expected every `@` before the parameters to be written as `%40`, and `/`, `?` and `#` in the user or the password as `%2F`, `%3F` and `%23`",
        );
        check_error(
            "postgres://u@db?channel_binding=hunter2",
            "expected `channel_binding` to be `disable`, `prefer` or `require`",
        );
        check_error(
            "postgres://u@db?hunter2=1",
            "it has a parameter that is not supported here; certificates are set with `ca`, `certificate` and `private_key`",
        );
        for url in ["postgres://db", "postgres://u@db?user=", "postgres://db?user=u&user="] {
            check_error(url, "expected a user, as in `postgres://user@host`");
        }
        check_error("postgres://u@/app", "expected a host, as in `postgres://user@host`");
        check_error(
            "postgres://u@a,b?port=1,2,3",
            "expected one port for all hosts, or one for each",
        );
        check_error(
            "postgres://u@db?sslnegotiation=direct",
            "with `sslnegotiation=direct`, expected `sslmode=require`, `verify-ca` or `verify-full`",
        );
        check_error(
            "postgres://u@db?hostaddr=a",
            "expected `hostaddr` to be an IP address without a zone",
        );
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
            ("ssl-mode=verify-full", SslMode::VerifyFull),
            ("ssl=true", SslMode::Require),
            ("ssl=1", SslMode::Require),
            ("ssl=false", SslMode::Prefer),
            ("ssl=verify-full", SslMode::VerifyFull),
            ("sslmode=verify-ca&ssl=true", SslMode::VerifyCa),
            ("sslmode=no-verify", SslMode::Require),
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
        check_error(
            "postgres://u@db?ssl=hunter2",
            "expected `ssl` to be `true`, `false` or a value of `sslmode`",
        );
        let params = parse("postgres://u@db?schema=app&max=1").expect("a URL");
        assert_eq!((params.schema, params.ignored), (Some("schema"), vec!["schema", "max"]));
    }

    #[test]
    fn the_scheme_may_be_that_of_a_library() {
        for scheme in [
            "postgres",
            "POSTGRESQL",
            "postgresql+psycopg2",
            "postgres+asyncpg",
            "postgis",
            "pgsql",
            "ecto",
        ] {
            check(&format!("{scheme}://u:p@db/app"), &["db:5432"], SslMode::Prefer);
        }
        for scheme in ["postgresql+hunter2", "mysql", "jdbc:mysql", "postgres+", "cockroachdb"] {
            let expected = "expected a URL that begins with `postgres://` or `postgresql://`";
            check_error(&format!("{scheme}://u:p@db/app"), expected);
        }
        let sqlalchemy = "postgresql+psycopg2://u:p@/app?host=a:1&host=b&host=/run/pg";
        check(sqlalchemy, &["a:1", "b:5432", "/run/pg/.s.PGSQL.5432"], SslMode::Prefer);
        check_error(
            "postgresql+psycopg2://u:p@a,b/app",
            "expected several hosts of SQLAlchemy as parameters, as in `postgresql+psycopg2://user@/database?host=a:5432&host=b:5432`",
        );
        check_error(
            "jdbc:postgresql://u:hunter2@db/app",
            "expected the user and the password as parameters after `jdbc:`, as in `?user=app&password=...`",
        );
        let jdbc = "jdbc:postgresql://db/app?user=u&password=p&ssl=true&targetServerType=primary";
        check(jdbc, &["db:5432"], SslMode::VerifyFull);
        let attrs = parse(jdbc).expect("a URL").session_attrs;
        assert_eq!(attrs, SessionAttrs::Primary);
    }

    #[test]
    fn a_plus_is_a_space_in_the_parameters_of_some_clients() {
        let options =
            |url: &str| parse(url).expect("a URL").config.get_options().map(str::to_owned);
        let query = "options=-c+search_path%3Da%2Bb&user=u";
        let expected = "-c search_path=a+b";
        for scheme in ["jdbc:postgresql", "postgresql+psycopg2", "postgres+asyncpg"] {
            let url = format!("{scheme}://db/app?{query}");
            assert_eq!(options(&url).as_deref(), Some(expected), "{scheme}");
        }
        let url = format!("postgres://db/app?{query}");
        assert_eq!(options(&url).as_deref(), Some("-c+search_path=a+b"));
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        for url in [
            "postgres://u@a;b/app",
            "postgres://u@d%20b/app",
            "postgres://u@%40socket/app",
            "postgres://u@[fe80::1%25eth0]/app",
        ] {
            check_error(
                url,
                "expected a host of letters, digits, `-`, `.` and `_`, or an IP address without a zone, or the path of a socket's folder",
            );
        }
        check("postgres://u@db?host=::1", &["[::1]:5432"], SslMode::Prefer);
    }

    #[test]
    fn a_raw_hash_is_refused() {
        // In libpq, `app#x` is a database, and `pass#word` a password.
        for url in [
            "postgres://u@db/app#x",
            "postgres://u@db/app?password=pass#word",
            "postgres://u:1#word@db/app",
        ] {
            check_error(url, "expected every `#` to be written as `%23`");
        }
    }

    #[test]
    fn a_passfile_is_for_urls_without_a_password() {
        let passfile = |url| parse(url).expect("a URL").passfile;
        let expected = Passfile::new("/p");
        assert_eq!(passfile("postgres://u@db?passfile=/p"), expected);
        assert_eq!(passfile("postgres://u:p@db?passfile=/p"), None);
        assert_eq!(passfile("postgres://u@db?passfile="), None);
    }

    #[test]
    fn certificates_may_be_files() {
        let url = "postgres://u@db?sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=%2Fk.pem";
        let files = parse(url).expect("a URL").pem_files;
        assert_eq!(files.authorities, PemFile::new("sslrootcert", "/ca.pem"));
        assert_eq!(files.certificate, PemFile::new("sslcert", "/c.pem"));
        assert_eq!(files.private_key, PemFile::new("sslkey", "/k.pem"));
        assert!(parse("postgres://u@db?sslrootcert=").expect("a URL").pem_files.is_empty());
        check("postgres://u@db?sslrootcert=system", &["db:5432"], SslMode::VerifyFull);
        check_error(
            "postgres://u@db?sslrootcert=system&sslmode=require",
            "with `sslrootcert=system`, expected `sslmode=verify-full`",
        );
        check_error("postgres://u@db?sslcert=/c.pem", "expected `sslcert` and `sslkey` together");
        let url = "postgres://u@db?sslcert=/c.pem&sslkey=/k.pem&sslcertmode=disable";
        assert!(parse(url).expect("a URL").pem_files.is_empty());
    }
}
