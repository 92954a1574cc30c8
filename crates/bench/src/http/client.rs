//! A minimal HTTP client: one keep-alive connection that repeats a request.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Context, Error, Result, unexpected};
use crate::measure::ms;

/// Longer than any response takes, so that the bench ends if one is missing.
const TIMEOUT: Duration = Duration::from_mins(1);

/// An encoded request.
#[derive(Clone, Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A GET request for JSON. Each of `headers` is a line without its end.
    pub(crate) fn get(path: &str, headers: &[&str]) -> Self {
        let lines: Vec<_> = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n");
        Self(format!("{head}{}\r\n", lines.concat()).into_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An open connection with its request.
pub(crate) struct Client {
    stream: TcpStream,
    request: Request,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, request: Request) -> Result<Self> {
        let open = || {
            let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            Ok::<_, io::Error>(stream)
        };
        let stream = open().context(&format!("connect to {address}"))?;
        Ok(Self { stream, request, received: Vec::new() })
    }

    /// Sends the request, and returns the body of the response, which must be a 200.
    pub(crate) fn get(&mut self) -> Result<&[u8]> {
        let head = self.exchange().context("HTTP request")?;
        Ok(&self.received[head..])
    }

    /// Sends the request, and returns the time until its response in milliseconds.
    pub(crate) fn timed_get(&mut self) -> Result<f64> {
        let started_at = Instant::now();
        self.get()?;
        Ok(ms(started_at.elapsed()))
    }

    /// Requests a report, in which every check must be `working`.
    pub(crate) fn get_report(&mut self) -> Result<Value> {
        let report: Value = serde_json::from_slice(self.get()?).context("read the report")?;
        let not_working: Vec<_> = check_results(&report)
            .into_iter()
            .filter(|(_, result)| result["status"] != "working")
            .collect();
        match not_working.first() {
            None => Ok(report),
            Some((name, result)) => Err(Error::new(format!("{name}: {}", result["status"]))),
        }
    }

    fn exchange(&mut self) -> io::Result<usize> {
        self.stream.write_all(self.request.bytes())?;
        self.received.clear();
        let mut chunk = [0; 16 * 1024];
        loop {
            match response_length(&self.received)? {
                Some((head, total)) if self.received.len() >= total => return Ok(head),
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

/// Returns the check results of a report, each with its full name.
pub(crate) fn check_results(report: &Value) -> Vec<(String, &Value)> {
    let mut results = Vec::new();
    for (name, entry) in report.as_object().into_iter().flatten() {
        if entry["status"].is_string() {
            results.push((name.clone(), entry));
            continue;
        }
        let checks = entry.as_object().into_iter().flatten();
        results.extend(checks.map(|(check, result)| (format!("{name}.{check}"), result)));
    }
    results
}

/// Returns the length of the head and that of the whole response, once the head is complete.
pub(crate) fn response_length(received: &[u8]) -> io::Result<Option<(usize, usize)>> {
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
    let length = length.ok_or_else(|| unexpected("a response without Content-Length"))?;
    Ok(Some((end + 4, end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_response_is_known_once_its_head_is_complete() {
        assert_eq!(response_length(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(), None);
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(response_length(response).unwrap(), Some((response.len() - 2, response.len())));
        assert!(response_length(b"HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\n").is_err());
        assert!(response_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn check_results_of_groups_have_their_full_names() {
        let report = serde_json::json!({"cache": {"a": {"status": "x"}}, "redis": {"status": "y"}});
        let names: Vec<_> = check_results(&report).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["cache.a", "redis"]);
    }
}
