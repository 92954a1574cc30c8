//! One HTTP request to a server of this machine, for seeding and for the demo.
//!
//! HTTP/1.0 on purpose: the answer ends where the connection does, without chunks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::error::{Context, Error, Result};

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: String,
}

/// Asks, and reads the whole answer; `headers` are complete lines without their ends.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Result<Answer> {
    let answer = exchange(address, method, path, headers, body)
        .context(|| format!("{method} http://{address}"))?;
    parse(&answer).ok_or_else(|| Error::new(format!("{method} http://{address}: not HTTP")))
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
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_code_and_its_body() {
        let answer = parse("HTTP/1.0 503 Sealed\r\nA: b\r\n\r\n{}\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "{}\r\n\r\n"));
    }

    #[test]
    fn what_is_not_http_is_no_answer() {
        assert!(parse("-ERR unknown command").is_none());
    }
}
