//! Resolves a name, connects over TCP and performs the TLS handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use probe::{Cause, Failure, Observation, Steps, step};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::resolve;
use crate::tls::not_after;
use crate::{Stream, TlsSettings, TlsStream, Verification};

/// The idle time after which keep-alive probes are sent.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(30);
/// The time between keep-alive probes without an answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// The number of unanswered keep-alive probes that ends the connection.
const KEEP_ALIVE_RETRIES: u32 = 3;

/// Connects to `host`, with fully verified TLS if `tls` is given.
///
/// The host is a name or an IP address, IPv6 with or without its brackets.
/// The steps are `resolve` (skipped for an IP address), `connect` and `tls`.
pub async fn connect(
    steps: &Steps,
    host: &str,
    port: u16,
    tls: Option<&TlsSettings>,
) -> Result<Stream, Failure> {
    let stream = connect_tcp(steps, host, port).await?;
    let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
    let stream = start_tls(steps, host, tls, Verification::Full, stream).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// Connects to `host` over TCP, with keep-alive and without Nagle's delay.
///
/// The addresses of a name are tried in the order in which the resolver returns them.
/// The failure has the error of each address, or a single error if all are equal.
pub async fn connect_tcp(steps: &Steps, host: &str, port: u16) -> Result<TcpStream, Failure> {
    let addresses = addresses(steps, without_brackets(host), port).await?;
    steps.run(step::CONNECT, connect_first(&addresses)).await
}

/// Connects to the Unix socket at `path`, in the step `connect`.
pub async fn connect_unix(steps: &Steps, path: &str) -> Result<UnixStream, Failure> {
    steps.run(step::CONNECT, UnixStream::connect(path)).await
}

/// Performs the TLS handshake with the server `host` over an open connection, in the step `tls`, and observes when the server's certificate expires.
///
/// In TLS 1.3, a server refuses a client certificate after the handshake. The first read or write then fails, and [`crate::cause`] explains the error.
pub async fn start_tls<S>(
    steps: &Steps,
    host: &str,
    tls: &TlsSettings,
    verification: Verification,
    stream: S,
) -> Result<TlsStream<S>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = async {
        let config = tls.client_config(verification)?;
        let name = ServerName::try_from(without_brackets(host).to_owned())
            .map_err(|_| Cause::msg("the host is neither a DNS name nor an IP address"))?;
        let connector = TlsConnector::from(config);
        let stream = connector.connect(name.clone(), stream).await.map_err(crate::cause)?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        tls.verify_expiry(verification, chain, &name)?;
        if let Some(expiry) = chain.first().and_then(not_after) {
            steps.observe(Observation::CertificateExpiry(expiry));
        }
        Ok::<_, Cause>(TlsStream::new(stream))
    };
    steps.run(step::TLS, handshake).await
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

async fn addresses(steps: &Steps, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let addresses = steps.run(step::RESOLVE, resolve::resolve(host)).await?;
    if addresses.is_empty() {
        return Err(Failure::msg(step::RESOLVE, "the name has no address"));
    }
    Ok(addresses.iter().map(|address| (*address, port).into()).collect())
}

async fn connect_first(addresses: &[SocketAddr]) -> Result<TcpStream, Cause> {
    let mut errors = Vec::new();
    for address in addresses {
        match open(*address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => errors.push((*address, Cause::from(error))),
        }
    }
    Err(combine(&errors))
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // Firewalls drop idle connections without notice, and a host that crashes does not close its connections.
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_TIME)
        .with_interval(KEEP_ALIVE_INTERVAL)
        .with_retries(KEEP_ALIVE_RETRIES);
    SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
    Ok(stream)
}

fn combine(errors: &[(SocketAddr, Cause)]) -> Cause {
    let mut texts = errors.iter().map(|(_, cause)| cause.text());
    let first = texts.next().unwrap_or("no address to connect to");
    if texts.all(|text| text == first) {
        return Cause::msg(first);
    }
    let each = errors.iter().map(|(address, cause)| format!("{address}: {}", cause.text()));
    Cause::msg(each.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_combine(errors: &[(&str, &str)], expected: &str) {
        let parse = |(address, text): &(&str, &str)| {
            (address.parse().expect("an address"), Cause::msg(*text))
        };
        let errors: Vec<_> = errors.iter().map(parse).collect();
        assert_eq!(combine(&errors).text(), expected);
    }

    #[test]
    fn equal_errors_are_reported_once_and_different_ones_with_their_addresses() {
        check_combine(&[("[::1]:80", "refused"), ("127.0.0.1:80", "refused")], "refused");
        check_combine(
            &[("[::1]:80", "unreachable"), ("127.0.0.1:80", "refused")],
            "[::1]:80: unreachable; 127.0.0.1:80: refused",
        );
    }
}
