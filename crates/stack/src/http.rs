//! A blocking HTTP request to a local server, for seeding and for the demo.
//!
//! It uses HTTP/1.0, so that the response ends with the connection and is not chunked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Context, Error, Result};

/// A server's response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Sends a request and reads the response. Each of `headers` is a line without its end.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Result<Response> {
    let text = exchange(address, method, path, headers, body)
        .context(|| format!("{method} http://{address}"))?;
    parse(&text).ok_or_else(|| Error::new(format!("{method} http://{address}: not HTTP")))
}

fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut head = vec![format!("{method} {path} HTTP/1.0"), format!("Host: {address}")];
    head.push(format!("Content-Length: {}", body.len()));
    head.extend(headers.iter().map(|&header| header.to_owned()));
    write!(stream, "{}\r\n\r\n{body}", head.join("\r\n"))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn parse(text: &str) -> Option<Response> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Response { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_its_status_and_its_body() {
        let response = parse("HTTP/1.0 503 Sealed\r\nA: b\r\n\r\n{}\r\n\r\n").unwrap();
        assert_eq!((response.status, response.body.as_str()), (503, "{}\r\n\r\n"));
    }

    #[test]
    fn a_response_of_another_protocol_is_not_parsed() {
        assert!(parse("-ERR unknown command").is_none());
    }
}
