//! Connects, authenticates and opens the virtual host.

use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, ProtocolVersion};
use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::connection::{self, AMQPMethod};
use amq_protocol::types::{AMQPValue, FieldTable, LongString};
use bytes::BytesMut;
use probe::{Cause, Failure, Secret, Steps, step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use crate::channel_ids::ChannelIds;
use crate::connect_params::Server;
use crate::error::{ACCESS_REFUSED, CloseReason, connection_closed, unexpected};
use crate::frames::{FrameDecoder, MAX_FRAME, encode};
use crate::message::short_string;

/// The longest heartbeat timeout, in seconds: as long as an idle connection is usually kept. A run notices a lost broker by its own timeout.
const MAX_HEARTBEAT: u16 = 30;

/// An open connection, before its I/O loop starts.
pub(crate) struct OpenConnection {
    pub(crate) stream: net::Stream,
    pub(crate) decoder: FrameDecoder,
    /// The negotiated heartbeat timeout.
    pub(crate) heartbeat: Duration,
    /// The ids that the negotiated number of channels allows.
    pub(crate) channel_ids: ChannelIds,
}

/// Connects, authenticates, and opens the virtual host.
pub(crate) async fn open(server: &Server, steps: &Steps) -> Result<OpenConnection, Failure> {
    let stream = net::connect(steps, &server.host, server.port, server.tls.as_ref()).await?;
    open_on(stream, server, steps).await
}

/// Authenticates on an open stream, and opens the virtual host.
pub(crate) async fn open_on(
    stream: net::Stream,
    server: &Server,
    steps: &Steps,
) -> Result<OpenConnection, Failure> {
    let mut handshake = Handshake { stream, decoder: FrameDecoder::default() };
    steps.run("handshake", handshake.start()).await?;
    let tune = steps.run(step::AUTHENTICATE, handshake.authenticate(server)).await?;
    steps.run("virtual host", handshake.open_virtual_host(server, &tune)).await?;
    let heartbeat = Duration::from_secs(tune.heartbeat.into());
    let channel_ids = ChannelIds::new(tune.channel_max);
    let Handshake { stream, decoder } = handshake;
    Ok(OpenConnection { stream, decoder, heartbeat, channel_ids })
}

/// A connection on which the client and the broker take turns to send methods.
struct Handshake {
    stream: net::Stream,
    decoder: FrameDecoder,
}

impl Handshake {
    /// Sends the protocol header. The broker answers with `connection.start`.
    async fn start(&mut self) -> Result<(), Cause> {
        self.send(&[AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1())]).await?;
        let start = match self.receive().await? {
            AMQPMethod::Start(start) => start,
            other => return Err(refusal(other)),
        };
        if start.mechanisms.to_string().split(' ').any(|mechanism| mechanism == PLAIN) {
            return Ok(());
        }
        Err(Cause::msg(format!("the broker offers no authentication by {PLAIN}")))
    }

    /// Sends `connection.start-ok` with the credentials. If the broker accepts them, it answers with `connection.tune`.
    async fn authenticate(&mut self, server: &Server) -> Result<connection::TuneOk, Cause> {
        let response =
            Secret::formatted(format_args!("\0{}\0{}", server.username, server.password.expose()));
        let start_ok = connection::StartOk {
            client_properties: client_properties()?,
            mechanism: short_string(PLAIN)?,
            response: LongString::from(vec![0_u8; response.expose().len()]),
            locale: short_string(LOCALE)?,
        };
        let mut buffer = BytesMut::new();
        encode(&method(AMQPMethod::StartOk(start_ok)), &mut buffer)?;
        // The codec would leave copies in memory, so the credentials replace zeros before the locale, its length and the end of the frame.
        let mut frame = Zeroizing::new(buffer.to_vec());
        let end = frame.len() - LOCALE.len() - 2;
        let start = end - response.expose().len();
        frame[start..end].copy_from_slice(response.expose().as_bytes());
        self.write(&frame).await?;
        match self.receive().await? {
            AMQPMethod::Tune(tune) => Ok(negotiate(&tune)),
            AMQPMethod::Close(close) if close.reply_code == ACCESS_REFUSED => {
                Err(refusal(AMQPMethod::Close(close)).login_refused())
            }
            other => Err(refusal(other)),
        }
    }

    /// Sends `connection.tune-ok` and `connection.open`.
    async fn open_virtual_host(
        &mut self,
        server: &Server,
        tune_ok: &connection::TuneOk,
    ) -> Result<(), Cause> {
        let open = connection::Open { virtual_host: short_string(&server.virtual_host)? };
        self.send(&[method(AMQPMethod::TuneOk(tune_ok.clone())), method(AMQPMethod::Open(open))])
            .await?;
        match self.receive().await? {
            AMQPMethod::OpenOk(_) => Ok(()),
            other => Err(refusal(other)),
        }
    }

    async fn send(&mut self, frames: &[AMQPFrame]) -> Result<(), Cause> {
        let mut buffer = BytesMut::new();
        frames.iter().try_for_each(|frame| encode(frame, &mut buffer))?;
        self.write(&buffer).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        let sending = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        sending.await.map_err(net::cause)
    }

    async fn receive(&mut self) -> Result<AMQPMethod, Cause> {
        loop {
            match self.decoder.next()? {
                Some(AMQPFrame::Method(0, AMQPClass::Connection(method))) => return Ok(method),
                Some(AMQPFrame::Heartbeat) => continue,
                Some(AMQPFrame::ProtocolHeader(_)) => {
                    return Err(Cause::msg("the server speaks another version of AMQP"));
                }
                Some(_) => return Err(unexpected("a frame")),
                None => {}
            }
            // In TLS 1.3, the first read fails if the server refuses the client certificate.
            if self.stream.read_buf(&mut self.decoder.buffer).await.map_err(net::cause)? == 0 {
                return Err(connection_closed());
            }
        }
    }
}

/// The limits of the connection. The broker closes one with higher limits than it proposes, and zero means no limit.
fn negotiate(proposed: &connection::Tune) -> connection::TuneOk {
    let frame_max = Some(proposed.frame_max).filter(|bytes| *bytes > 0);
    // Without heartbeats, a lost broker is not detected.
    let heartbeat = Some(proposed.heartbeat).filter(|seconds| *seconds > 0);
    connection::TuneOk {
        channel_max: proposed.channel_max,
        frame_max: frame_max.unwrap_or(MAX_FRAME).min(MAX_FRAME),
        heartbeat: heartbeat.unwrap_or(MAX_HEARTBEAT).min(MAX_HEARTBEAT),
    }
}

const LOCALE: &str = "en_US";

/// The SASL mechanism with user and password in plain text, which almost every broker offers.
const PLAIN: &str = "PLAIN";

/// The extensions that the client supports, and its name in the broker's list of connections.
fn client_properties() -> Result<FieldTable, Cause> {
    let mut capabilities = FieldTable::default();
    for name in [
        "authentication_failure_close",
        "connection.blocked",
        "consumer_cancel_notify",
        "publisher_confirms",
    ] {
        capabilities.insert(short_string(name)?, AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert(short_string("capabilities")?, AMQPValue::FieldTable(capabilities));
    for (name, text) in [
        ("product", "health-gateway"),
        ("connection_name", "health-gateway"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("platform", "Rust"),
    ] {
        properties.insert(short_string(name)?, AMQPValue::LongString(text.into()));
    }
    Ok(properties)
}

/// The cause when the broker sends a method other than the expected one.
fn refusal(method: AMQPMethod) -> Cause {
    match method {
        AMQPMethod::Close(close) => {
            CloseReason { code: close.reply_code, text: close.reply_text.to_string() }.into()
        }
        AMQPMethod::Secure(_) => Cause::msg("the broker requires more than a user and a password"),
        _ => unexpected("a method"),
    }
}

fn method(method: AMQPMethod) -> AMQPFrame {
    AMQPFrame::Method(0, AMQPClass::Connection(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_higher_than_the_broker_s() {
        let check = |(channel_max, frame_max, heartbeat), expected| {
            let ok = negotiate(&connection::Tune { channel_max, frame_max, heartbeat });
            assert_eq!((ok.channel_max, ok.frame_max, ok.heartbeat), expected);
        };
        check((2047, 131_072, 60), (2047, 131_072, 30));
        check((8, 65_536, 5), (8, 65_536, 5));
        check((0, 1_000_000, 10), (0, 131_072, 10));
        check((0, 0, 0), (0, 131_072, 30));
    }
}
