//! Opens a session with the first usable server, encrypted as `sslmode` requires.
//!
//! TLS is negotiated here because the client library falls back to plain text silently and cannot verify a chain without the host name.

use net::{PemFiles, TlsSettings};
use probe::config::Fields;
use probe::{Cause, Connect, Connecting, Failure, Reconnect, Secret, Steps, step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_postgres::Config;
use tokio_postgres::config::ChannelBinding;

use crate::channel_binding::Negotiated;
use crate::commit::Writes;
use crate::endpoint::Endpoint;
use crate::passfile::Passfile;
use crate::session::{Peer, PeerTls, Session};
use crate::session_attrs::SessionAttrs;
use crate::sslmode::SslMode;
use crate::stream::{LimitedStream, Stream};
use crate::table::Table;
use crate::url::ConnectParams;

/// The message `SSLRequest`: its length and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The protocol that is offered by ALPN if TLS begins without a request for it, which servers support since PostgreSQL 17.
const PROTOCOL: &str = "postgresql";

const NO_DIRECT_TLS: &str = "`sslnegotiation=direct` needs PostgreSQL 17 or newer";

const WITHOUT_PROTOCOL: &str = "with `sslnegotiation=direct`, expected a server that selects the protocol `postgresql` by ALPN";

/// One server, or several alternatives, with the credentials for them.
pub(crate) struct Server {
    config: Config,
    endpoints: Vec<Endpoint>,
    sslmode: SslMode,
    session_attrs: SessionAttrs,
    password: Option<Secret>,
    passfile: Option<Passfile>,
    /// Whether TLS begins without a request for it.
    is_direct: bool,
    tls: TlsSettings,
    pem_files: PemFiles,
}

impl Server {
    /// Records an error if `sslmode` contradicts other settings.
    pub(crate) fn new(
        params: ConnectParams,
        tls: TlsSettings,
        fields: &mut Fields<'_>,
    ) -> Option<Self> {
        let ConnectParams { sslmode, is_direct, pem_files, .. } = params;
        if !pem_files.is_empty() && tls.has_pem() {
            let message = "expected either `ca`, `certificate` and `private_key` in the section, or `sslrootcert`, `sslcert` and `sslkey` in the URL";
            fields.error("url", message);
            return None;
        }
        let server = Self {
            config: params.config,
            endpoints: params.endpoints,
            sslmode,
            session_attrs: params.session_attrs,
            password: params.password,
            passfile: params.passfile,
            is_direct,
            // libpq offers the protocol if TLS begins without a request for it.
            tls: if is_direct { tls.with_protocol(PROTOCOL) } else { tls },
            pem_files,
        };
        sslmode.validate(fields).then_some(server)
    }

    /// The file with the password, if the URL has none.
    pub(crate) fn passfile(&self) -> Option<&Passfile> {
        self.passfile.as_ref()
    }

    /// The database and the user.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The addresses, separated by commas.
    pub(crate) fn target(&self) -> String {
        self.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// The key of the shared connection: everything that distinguishes a session with this server from others. A session that writes is not shared with checks that only query, since a commit may block it, as a lock on a table may.
    pub(crate) fn key(
        &self,
        reconnect: Reconnect,
        writes: Option<Writes>,
        table: Option<&Table>,
    ) -> Secret {
        let Self { config, endpoints, sslmode, is_direct, session_attrs, pem_files, .. } = self;
        let password = self.password.as_ref().map(Secret::expose);
        let (passfile, tls) = (&self.passfile, self.tls.identity().expose());
        // The configuration prints its password as `_`.
        Secret::formatted(format_args!(
            "{config:?} {endpoints:?} {sslmode:?} {is_direct} {session_attrs:?} {password:?} {passfile:?} {reconnect:?} {writes:?} {table:?} {pem_files:?} {tls}"
        ))
    }

    /// The key of the refused logins: the servers, the user and the password. All databases share them.
    pub(crate) fn login_key(&self) -> Secret {
        let (user, password) = (self.config.get_user(), self.password.as_ref().map(Secret::expose));
        Secret::formatted(format_args!(
            "{:?} {user:?} {password:?} {:?}",
            self.endpoints, self.passfile
        ))
    }

    /// Opens a session with one server, within the `connect_timeout` of the URL if it has one.
    async fn connect_within_timeout(
        &self,
        endpoint: &Endpoint,
        steps: &Steps,
    ) -> Result<Session, Failure> {
        let Some(limit) = self.config.get_connect_timeout() else {
            return self.connect_to(endpoint, steps).await;
        };
        let session = tokio::time::timeout(*limit, self.connect_to(endpoint, steps));
        session.await.unwrap_or_else(|_| {
            Err(Failure::msg(steps.current(), "no answer within the URL's `connect_timeout`"))
        })
    }

    /// Opens a session with one server, encrypted as `sslmode` requires.
    async fn connect_to(&self, endpoint: &Endpoint, steps: &Steps) -> Result<Session, Failure> {
        let (Endpoint::Tcp { host, .. }, false) = (endpoint, self.sslmode == SslMode::Disable)
        else {
            return self.connect_plain(endpoint, steps).await;
        };
        match self.connect_encrypted(endpoint, host, steps).await {
            Err(failure) if self.sslmode == SslMode::Prefer && may_work_without_tls(&failure) => {
                self.connect_plain(endpoint, steps).await.map_err(|_| failure)
            }
            result => result,
        }
    }

    async fn connect_plain(&self, endpoint: &Endpoint, steps: &Steps) -> Result<Session, Failure> {
        let (stream, address) = endpoint.connect(steps).await?;
        self.log_in(endpoint, stream, Peer { address, tls: None }, steps).await
    }

    async fn connect_encrypted(
        &self,
        endpoint: &Endpoint,
        host: &str,
        steps: &Steps,
    ) -> Result<Session, Failure> {
        let (mut stream, address) = endpoint.connect(steps).await?;
        if !self.is_direct && !steps.run("negotiate", request_tls(&mut stream)).await? {
            if self.sslmode == SslMode::Prefer {
                return self.log_in(endpoint, stream, Peer { address, tls: None }, steps).await;
            }
            return Err(Failure::msg(
                "negotiate",
                "the server has no TLS, but `sslmode` demands it",
            ));
        }
        let (stream, negotiated) = self.encrypt(stream, host, steps).await?;
        let tls = Some(PeerTls { host: host.to_owned(), negotiated });
        self.log_in(endpoint, stream, Peer { address, tls }, steps).await
    }

    /// Performs the TLS handshake, after the server accepted the request for it, or without one.
    async fn encrypt(
        &self,
        stream: Box<dyn Stream>,
        host: &str,
        steps: &Steps,
    ) -> Result<(Box<dyn Stream>, Negotiated), Failure> {
        let tls = steps.run(step::TLS, self.pem_files.read(&self.tls)).await?;
        let verification = self.sslmode.verification(&tls);
        let stream = net::start_tls(steps, host, &tls, verification, stream).await;
        let stream = stream.map_err(|failure| {
            let is_old = self.is_direct && failure.cause().is_connection_lost();
            if is_old { failure.in_context(NO_DIRECT_TLS) } else { failure }
        })?;
        if self.is_direct && stream.protocol() != Some(PROTOCOL.as_bytes()) {
            return Err(Failure::msg(step::TLS, WITHOUT_PROTOCOL));
        }
        // Without the demand, a server behind a proxy with another certificate is used as well.
        let is_bound = self.config.get_channel_binding() == ChannelBinding::Require;
        let server_end_point = if is_bound { stream.server_end_point() } else { None };
        Ok((Box::new(stream), Negotiated { server_end_point }))
    }

    async fn log_in(
        &self,
        endpoint: &Endpoint,
        stream: Box<dyn Stream>,
        peer: Peer,
        steps: &Steps,
    ) -> Result<Session, Failure> {
        steps.begin(step::AUTHENTICATE);
        let stream = LimitedStream::new(stream);
        let Some(passfile) = &self.passfile else {
            return Session::log_in(&self.config, stream, peer).await;
        };
        // As with libpq, the login succeeds without the file if the server demands no password.
        let password = passfile.password(endpoint, &self.config).await;
        let mut config = self.config.clone();
        if let Ok(Some(password)) = &password {
            config.password(password.expose());
        }
        Session::log_in(&config, stream, peer).await.map_err(|failure| match &password {
            Ok(Some(_)) => failure,
            Ok(None) => failure.in_context("passfile: it has no line for this login"),
            Err(cause) => failure.in_context(cause.text()),
        })
    }

    /// Requests that the server stop what this session is doing, on a new connection as the protocol demands.
    pub(crate) async fn cancel(&self, session: &Session) -> Result<(), Failure> {
        let steps = Steps::new();
        let Peer { address, tls } = session.peer();
        let (mut stream, _) = address.connect(&steps).await?;
        if let Some(tls) = tls {
            if !self.is_direct {
                steps.run("negotiate", request_tls(&mut stream)).await?;
            }
            (stream, _) = self.encrypt(stream, &tls.host, &steps).await?;
        }
        steps.run("cancel", session.cancel(stream)).await
    }

    /// Fails if `target_session_attrs` does not allow this server. The next one is then tried, as in libpq.
    async fn verify_session_attrs(
        &self,
        attrs: SessionAttrs,
        session: &Session,
        steps: &Steps,
    ) -> Result<(), Failure> {
        if attrs == SessionAttrs::Any {
            return Ok(());
        }
        attrs.verify(session.query_state(steps).await?)
    }

    /// Opens a session with the first server that `attrs` allows, in the order of the URL.
    async fn connect_first(&self, attrs: SessionAttrs, steps: &Steps) -> Result<Session, Failure> {
        let mut failures = Vec::new();
        for endpoint in &self.endpoints {
            let attempt = async {
                let session = self.connect_within_timeout(endpoint, steps).await?;
                self.verify_session_attrs(attrs, &session, steps).await.map(|()| session)
            };
            match attempt.await {
                Ok(session) => return Ok(session),
                Err(failure) => failures.push((endpoint, failure)),
            }
            // As in libpq, refused credentials are not tried on the other servers.
            if failures.last().is_some_and(|(_, failure)| failure.cause().is_login_refused()) {
                break;
            }
        }
        Err(combine(&failures))
    }
}

impl Connect for Server {
    type Connection = Session;

    /// Opens a session with the first usable server.
    fn connect<'a>(&'a self, steps: &'a Steps) -> Connecting<'a, Session> {
        Box::pin(async move {
            let mut result = Err(Failure::msg(step::CONNECT, "no server"));
            for attrs in self.session_attrs.passes() {
                result = self.connect_first(*attrs, steps).await;
                let is_final = match &result {
                    Ok(_) => true,
                    Err(failure) => failure.cause().is_login_refused(),
                };
                if is_final {
                    break;
                }
            }
            result
        })
    }

    fn is_closed(session: &Session) -> bool {
        session.is_closed()
    }

    fn has_received_since(session: &Session, since: Instant) -> bool {
        session.has_received_since(since)
    }
}

/// Sends an `SSLRequest`, and returns whether the server accepts it. Only one byte is read, since the bytes after it belong to the TLS handshake.
pub(crate) async fn request_tls(stream: &mut Box<dyn Stream>) -> Result<bool, Cause> {
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await {
        Ok(b'S') => Ok(true),
        Ok(b'N') => Ok(false),
        Ok(b'E') => Err(Cause::msg("the server answered the request for TLS with an error")),
        Ok(_) => Err(Cause::msg("the server does not speak PostgreSQL's protocol")),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Cause::msg("the server closed the connection").connection_lost())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a login without TLS may succeed, so that `prefer` falls back to it. The server may require a client certificate, or plain text. A wrong password is wrong without TLS, too.
fn may_work_without_tls(failure: &Failure) -> bool {
    matches!(failure.step(), step::TLS | step::AUTHENTICATE) && !failure.cause().is_login_refused()
}

/// The only failure, or one that lists the failure of each server.
fn combine(failures: &[(&Endpoint, Failure)]) -> Failure {
    if let [(_, failure)] = failures {
        return failure.clone();
    }
    let each = failures.iter().map(|(endpoint, failure)| {
        format!("{endpoint}: {}: {}", failure.step(), failure.cause().text())
    });
    let cause = Cause::msg(each.collect::<Vec<_>>().join("; "));
    match failures.last() {
        Some((_, last)) if last.cause().is_login_refused() => {
            Failure::new(step::AUTHENTICATE, cause.login_refused())
        }
        _ => Failure::new(step::CONNECT, cause),
    }
}
