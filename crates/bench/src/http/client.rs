//! One caller on a kept connection: a raw socket, a request that never changes, and as much of HTTP as its answer needs.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Context, Error, Result, unexpected};
use crate::measure::ms;

/// Longer than any answer takes, so that a bench that waits for nothing ends.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A request for JSON; `headers` are complete lines without their ends.
    pub(crate) fn get(path: &str, headers: &[&str]) -> Self {
        let lines: Vec<_> = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n");
        Self(format!("{head}{}\r\n", lines.concat()).into_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// See the module.
pub(crate) struct Caller {
    stream: TcpStream,
    request: Request,
    received: Vec<u8>,
}

impl Caller {
    pub(crate) fn connect(address: SocketAddr, request: Request) -> Result<Self> {
        let open = || {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok::<_, io::Error>(stream)
        };
        let stream = open().context(&format!("connect to {address}"))?;
        Ok(Self { stream, request, received: Vec::new() })
    }

    /// Asks, and waits for the whole answer, which must be a 200; gives its body.
    pub(crate) fn ask(&mut self) -> Result<&[u8]> {
        let head = self.exchange().context("ask over HTTP")?;
        Ok(&self.received[head..])
    }

    /// Asks, and tells how long the answer took, in milliseconds.
    pub(crate) fn time(&mut self) -> Result<f64> {
        let asked = Instant::now();
        self.ask()?;
        Ok(ms(asked.elapsed()))
    }

    /// Asks for a report, in which everything must say `working`.
    pub(crate) fn report(&mut self) -> Result<Value> {
        let report: Value = serde_json::from_slice(self.ask()?).context("read the report")?;
        let broken: Vec<_> =
            lines(&report).into_iter().filter(|(_, line)| line["status"] != "working").collect();
        match broken.first() {
            None => Ok(report),
            Some((name, line)) => Err(Error::new(format!("{name}: {}", line["status"]))),
        }
    }

    fn exchange(&mut self) -> io::Result<usize> {
        self.stream.write_all(self.request.bytes())?;
        self.received.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            match length(&self.received)? {
                Some((head, whole)) if self.received.len() >= whole => return Ok(head),
                _ => {}
            }
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(unexpected("the end of the connection"));
            }
            self.received.extend_from_slice(&chunk[..read]);
        }
    }
}

/// The lines of a report, each with its full name.
pub(crate) fn lines(report: &Value) -> Vec<(String, &Value)> {
    let mut lines = Vec::new();
    for (name, entry) in report.as_object().into_iter().flatten() {
        if entry["status"].is_string() {
            lines.push((name.clone(), entry));
            continue;
        }
        let checks = entry.as_object().into_iter().flatten();
        lines.extend(checks.map(|(check, line)| (format!("{name}.{check}"), line)));
    }
    lines
}

/// Where the head ends and where the body does, once the head is there.
pub(crate) fn length(received: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = received.windows(4).position(|end| end == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&received[..end]);
    let mut lines = head.lines();
    match lines.next() {
        Some(line) if line.starts_with("HTTP/1.1 200 ") => {}
        line => return Err(unexpected(line.unwrap_or_default())),
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| unexpected("an answer without its length"))?;
    Ok(Some((end + 4, end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        assert_eq!(length(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(), None);
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(length(whole).unwrap(), Some((whole.len() - 2, whole.len())));
        assert!(length(b"HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\n").is_err());
        assert!(length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn the_lines_of_groups_have_their_names() {
        let report = serde_json::json!({"cache": {"a": {"status": "x"}}, "redis": {"status": "y"}});
        let names: Vec<_> = lines(&report).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["cache.a", "redis"]);
    }
}
