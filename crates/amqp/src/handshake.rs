//! From nothing to an open virtual host, each wait in a step of its own.

use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, ProtocolVersion};
use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::connection::{self, AMQPMethod};
use amq_protocol::types::{AMQPValue, FieldTable, LongString};
use bytes::BytesMut;
use probe::{Cause, Failure, Secret, Steps};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::frames::{Inbox, MAX_FRAME, write};
use crate::message::short;
use crate::place::Place;
use crate::words::{Refusal, closed, unexpected};

/// How often each side shows that it is alive, at most.
const HEARTBEAT: u16 = 10;

/// A connection with or without TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open connection before its task takes over.
pub(crate) struct Opened {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) inbox: Inbox,
    /// How often the broker wants to hear from us, and we from it.
    pub(crate) heartbeat: Duration,
}

/// Connects, authenticates, and opens the virtual host.
pub(crate) async fn open(place: &Place, steps: &Steps) -> Result<Opened, Failure> {
    let stream = steps.run("connect", connect(&place.host, place.port)).await?;
    let stream: Box<dyn Stream> = match &place.tls {
        None => Box::new(stream),
        Some(settings) => {
            let config = settings.client_config(tls::Verification::Full);
            let config = config.map_err(|cause| Failure::new("tls", cause))?;
            Box::new(steps.run("tls", tls::connect(config, &place.host, stream)).await?)
        }
    };
    let mut talk = Talk { stream, inbox: Inbox::default() };
    steps.run("handshake", talk.begin()).await?;
    let (channels, heartbeat) = steps.run("authenticate", talk.authenticate(place)).await?;
    steps.run("virtual host", talk.enter(place, channels, heartbeat)).await?;
    let heartbeat = Duration::from_secs(heartbeat.into());
    Ok(Opened { stream: talk.stream, inbox: talk.inbox, heartbeat })
}

async fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One side says something, then the other.
struct Talk {
    stream: Box<dyn Stream>,
    inbox: Inbox,
}

impl Talk {
    /// Greets the broker, which then says what it can do.
    async fn begin(&mut self) -> Result<(), Cause> {
        self.send(&[AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1())]).await?;
        let start = match self.receive().await? {
            AMQPMethod::Start(start) => start,
            other => return Err(stopped(other)),
        };
        if start.mechanisms.to_string().split(' ').any(|mechanism| mechanism == PLAIN) {
            return Ok(());
        }
        Err(Cause::msg(format!("the broker offers no authentication by {PLAIN}")))
    }

    /// Says who we are; the broker answers with its limits if it believes it.
    async fn authenticate(&mut self, place: &Place) -> Result<(u16, u16), Cause> {
        let response = Secret::new(format!("\0{}\0{}", place.username, place.password.expose()));
        let start_ok = connection::StartOk {
            client_properties: client_properties()?,
            mechanism: short(PLAIN)?,
            response: LongString::from(response.expose().as_bytes()),
            locale: short("en_US")?,
        };
        self.send(&[method(AMQPMethod::StartOk(start_ok))]).await?;
        match self.receive().await? {
            AMQPMethod::Tune(tune) => {
                // Zero means no heartbeats; we want them all the same, to notice a broker that is gone.
                let theirs = Some(tune.heartbeat).filter(|seconds| *seconds > 0);
                Ok((tune.channel_max, theirs.unwrap_or(HEARTBEAT).min(HEARTBEAT)))
            }
            other => Err(stopped(other)),
        }
    }

    async fn enter(&mut self, place: &Place, channels: u16, heartbeat: u16) -> Result<(), Cause> {
        let tune_ok = connection::TuneOk { channel_max: channels, frame_max: MAX_FRAME, heartbeat };
        let open = connection::Open { virtual_host: short(&place.virtual_host)? };
        self.send(&[method(AMQPMethod::TuneOk(tune_ok)), method(AMQPMethod::Open(open))]).await?;
        match self.receive().await? {
            AMQPMethod::OpenOk(_) => Ok(()),
            other => Err(stopped(other)),
        }
    }

    async fn send(&mut self, frames: &[AMQPFrame]) -> Result<(), Cause> {
        let mut out = BytesMut::new();
        frames.iter().try_for_each(|frame| write(frame, &mut out))?;
        let sent = async {
            self.stream.write_all(&out).await?;
            self.stream.flush().await
        };
        sent.await.map_err(tls::cause)
    }

    async fn receive(&mut self) -> Result<AMQPMethod, Cause> {
        loop {
            match self.inbox.next()? {
                Some(AMQPFrame::Method(0, AMQPClass::Connection(method))) => return Ok(method),
                Some(AMQPFrame::Heartbeat) => continue,
                Some(AMQPFrame::ProtocolHeader(_)) => {
                    return Err(Cause::msg("the server speaks another version of AMQP"));
                }
                Some(_) => return Err(unexpected("a frame")),
                None => {}
            }
            // A server may refuse our client certificate only now.
            if self.stream.read_buf(&mut self.inbox.bytes).await.map_err(tls::cause)? == 0 {
                return Err(closed());
            }
        }
    }
}

/// The mechanism that every broker has: the user and the password as they are.
const PLAIN: &str = "PLAIN";

/// What the broker may tell us beyond the bare protocol, and who we are in its lists of connections.
fn client_properties() -> Result<FieldTable, Cause> {
    let mut capabilities = FieldTable::default();
    for name in [
        "authentication_failure_close",
        "connection.blocked",
        "consumer_cancel_notify",
        "publisher_confirms",
    ] {
        capabilities.insert(short(name)?, AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert(short("capabilities")?, AMQPValue::FieldTable(capabilities));
    for (name, text) in [
        ("product", "health-gateway"),
        ("connection_name", "health-gateway"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("platform", "Rust"),
    ] {
        properties.insert(short(name)?, AMQPValue::LongString(text.into()));
    }
    Ok(properties)
}

/// The broker does not go on; its own words say why.
fn stopped(method: AMQPMethod) -> Cause {
    match method {
        AMQPMethod::Close(close) => {
            Refusal { code: close.reply_code, text: close.reply_text.to_string() }.into()
        }
        AMQPMethod::Secure(_) => Cause::msg("the broker asks for more than user and password"),
        _ => unexpected("a method"),
    }
}

fn method(method: AMQPMethod) -> AMQPFrame {
    AMQPFrame::Method(0, AMQPClass::Connection(method))
}
