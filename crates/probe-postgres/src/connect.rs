//! From the settings to a session: which server of several, and plain text or TLS as `sslmode` says.
//!
//! TLS is negotiated here and not in the client library, which falls back to plain text silently and cannot verify a chain alone.

use probe::config::Fields;
use probe::{Cause, Connect, Failure, Secret, Steps};
use tls::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;

use crate::session::Session;
use crate::socket::Endpoint;
use crate::sslmode::SslMode;
use crate::stream::{Guarded, Stream};
use crate::url::Address;

/// The message by which a client asks for TLS: its length, and the number of this request.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// One server or several that stand in for each other, with the credentials for them.
pub(crate) struct Server {
    config: Config,
    endpoints: Vec<Endpoint>,
    sslmode: SslMode,
    password: Option<Secret>,
    tls: Settings,
}

impl Server {
    /// Notes a mistake if the settings do not fit each other.
    pub(crate) fn new(address: Address, tls: Settings, fields: &mut Fields<'_>) -> Option<Self> {
        let Address { config, endpoints, sslmode, password } = address;
        sslmode.fits(fields).then_some(Self { config, endpoints, sslmode, password, tls })
    }

    /// Which database is used, and as whom.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The addresses as an operator writes them.
    pub(crate) fn target(&self) -> String {
        self.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Everything that distinguishes this server and our session there from others.
    pub(crate) fn key(&self) -> Secret {
        let Self { config, endpoints, sslmode, password, tls } = self;
        let password = password.as_ref().map(Secret::expose);
        let tls = tls.identity().expose();
        // The configuration prints its password as `_`.
        Secret::new(format!("{config:?} {endpoints:?} {sslmode:?} {password:?} {tls}"))
    }

    /// A session with one server, within the URL's `connect_timeout` if it has one.
    async fn session(&self, endpoint: &Endpoint, steps: &Steps) -> Result<Session, Failure> {
        let Some(limit) = self.config.get_connect_timeout() else {
            return self.as_sslmode_says(endpoint, steps).await;
        };
        let session = tokio::time::timeout(*limit, self.as_sslmode_says(endpoint, steps));
        session.await.unwrap_or_else(|_| {
            Err(Failure::msg(steps.current(), "no answer within the URL's `connect_timeout`"))
        })
    }

    async fn as_sslmode_says(
        &self,
        endpoint: &Endpoint,
        steps: &Steps,
    ) -> Result<Session, Failure> {
        let (Endpoint::Tcp { host, .. }, false) = (endpoint, self.sslmode == SslMode::Disable)
        else {
            let stream = endpoint.open(steps).await?;
            return self.log_in(stream, steps).await;
        };
        match self.encrypted(endpoint, host, steps).await {
            Err(failure) if self.sslmode == SslMode::Prefer && tls_may_be_why(&failure) => {
                let stream = endpoint.open(steps).await?;
                self.log_in(stream, steps).await.map_err(|_| failure)
            }
            decided => decided,
        }
    }

    async fn encrypted(
        &self,
        endpoint: &Endpoint,
        host: &str,
        steps: &Steps,
    ) -> Result<Session, Failure> {
        let mut stream = endpoint.open(steps).await?;
        if !steps.run("negotiate", ask_for_tls(&mut stream)).await? {
            if self.sslmode == SslMode::Prefer {
                return self.log_in(stream, steps).await;
            }
            return Err(Failure::msg("negotiate", "the server has no TLS, `sslmode` demands it"));
        }
        let handshake = async {
            let config = self.tls.client_config(self.sslmode.verification(&self.tls))?;
            tls::connect(config, host, stream).await
        };
        let stream = steps.run("tls", handshake).await?;
        self.log_in(Box::new(stream), steps).await
    }

    async fn log_in(&self, stream: Box<dyn Stream>, steps: &Steps) -> Result<Session, Failure> {
        steps.begin("authenticate");
        Session::log_in(&self.config, Guarded::new(stream)).await
    }

    /// Whether libpq would go on with this server, or try the next one.
    async fn judge(&self, session: &Session, steps: &Steps) -> Result<(), Failure> {
        let demanded = match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => false,
            TargetSessionAttrs::ReadOnly => true,
            _ => return Ok(()),
        };
        match (demanded, session.ask(steps).await?.read_only) {
            (false, true) => {
                Err(Failure::msg("role", "read-only: `target_session_attrs` is `read-write`"))
            }
            (true, false) => {
                Err(Failure::msg("role", "takes writes: `target_session_attrs` is `read-only`"))
            }
            _ => Ok(()),
        }
    }
}

impl Connect for Server {
    type Connection = Session;

    /// The first server that lets us in, in the URL's order.
    async fn connect(&self, steps: &Steps) -> Result<Session, Failure> {
        let mut failures = Vec::new();
        for endpoint in &self.endpoints {
            let attempt = async {
                let session = self.session(endpoint, steps).await?;
                self.judge(&session, steps).await.map(|()| session)
            };
            match attempt.await {
                Ok(session) => return Ok(session),
                Err(failure) => failures.push((endpoint, failure)),
            }
        }
        Err(together(&failures))
    }

    fn is_closed(session: &Session) -> bool {
        session.is_over()
    }
}

/// Asks whether the server is ready for TLS. Only its one byte is read: whatever follows belongs to the handshake.
async fn ask_for_tls(stream: &mut Box<dyn Stream>) -> Result<bool, Cause> {
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

/// Whether the same server might let us in without TLS, which is when `prefer` falls back: it may demand a certificate, or plain text.
fn tls_may_be_why(failure: &Failure) -> bool {
    matches!(failure.step(), "tls" | "authenticate")
}

/// One failure stands for itself; of several, each is told with its server.
fn together(failures: &[(&Endpoint, Failure)]) -> Failure {
    if let [(_, failure)] = failures {
        return failure.clone();
    }
    let told = failures.iter().map(|(endpoint, failure)| {
        format!("{endpoint}: {}: {}", failure.step(), failure.cause().text())
    });
    Failure::msg("connect", told.collect::<Vec<_>>().join("; "))
}
