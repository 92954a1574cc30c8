//! A load generator: many clients on one thread, which send a request after each response.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::error::{Context, Error, Result, unexpected};
use crate::http::client::{Request, response_length};
use crate::measure::ms;

/// The parameters of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// How long new requests are sent.
    pub(crate) duration: Duration,
    /// Whether each request opens a new connection.
    pub(crate) fresh_connections: bool,
}

/// A response: its time, and its latency in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) latency: f64,
}

/// The results of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadResult {
    pub(crate) samples: Vec<Sample>,
    /// Connections lost before a response; their clients have repeated the request on new ones.
    pub(crate) lost: usize,
    /// Clients without a response to their last request.
    pub(crate) unanswered: usize,
}

/// How long the last responses may take after the end of the load.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

impl Load {
    /// Runs the load. Every request must have a response, which must be a 200.
    pub(crate) fn run(self, address: SocketAddr, request: &Request) -> Result<Vec<Sample>> {
        match self.try_run(address, request)? {
            LoadResult { samples, lost: 0, unanswered: 0 } => Ok(samples),
            LoadResult { lost, unanswered, .. } => Err(Error::new(format!(
                "load: {lost} connections lost, {unanswered} requests without a response"
            ))),
        }
    }

    /// Runs the load. Connections may be lost, and requests may have no response.
    pub(crate) fn try_run(self, address: SocketAddr, request: &Request) -> Result<LoadResult> {
        self.exchange(address, request).context("load")
    }

    fn exchange(self, address: SocketAddr, request: &Request) -> io::Result<LoadResult> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let started_at = Instant::now();
        let end = started_at + self.duration;
        let mut result = LoadResult::default();
        let connect = |at| Connection::connect(address, &poll, at);
        let mut connections: Vec<_> = (0..self.clients).map(connect).collect::<io::Result<_>>()?;
        let mut open = connections.len();
        let mut events = Vec::with_capacity(256);
        while open > 0 {
            if Instant::now() > end + DRAIN_TIMEOUT {
                result.unanswered = open;
                break;
            }
            events.clear();
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            epoll::wait(&poll, spare_capacity(&mut events), Some(&second))?;
            for event in &events {
                let at = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                let Some(connection) = connections.get_mut(at) else { continue };
                let sample = match connection.advance(&poll, at, request) {
                    Ok(None) => continue,
                    Ok(Some(sample)) => sample,
                    Err(error) if is_lost(&error) && Instant::now() < end => {
                        result.lost += 1;
                        *connection = connect(at)?;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                result.samples.push(sample);
                if sample.at >= end {
                    epoll::delete(&poll, &connection.stream)?;
                    // Another client may be waiting to be accepted.
                    connection.stream.shutdown(Shutdown::Both)?;
                    open -= 1;
                } else if self.fresh_connections {
                    connection.set_reset_on_close()?;
                    *connection = connect(at)?;
                } else {
                    connection.send(request)?;
                }
            }
        }
        Ok(result)
    }
}

fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::TimedOut)
}

struct Connection {
    stream: TcpStream,
    connected: bool,
    received: Vec<u8>,
    /// The response's length, once its head is complete.
    length: Option<usize>,
    sent_at: Instant,
}

impl Connection {
    /// Starts to connect; the socket becomes writable once it is connected.
    fn connect(address: SocketAddr, poll: &OwnedFd, at: usize) -> io::Result<Self> {
        let sent_at = Instant::now();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        epoll::add(poll, &socket, data(at), epoll::EventFlags::OUT)?;
        let stream = TcpStream::from(socket);
        Ok(Self { stream, connected: false, received: Vec::new(), length: None, sent_at })
    }

    /// Handles an event, and returns the response if it is complete.
    fn advance(
        &mut self,
        poll: &OwnedFd,
        at: usize,
        request: &Request,
    ) -> io::Result<Option<Sample>> {
        if self.connected {
            return self.read();
        }
        self.start(poll, at, request).map(|()| None)
    }

    /// Sends the first request on the connection; its latency includes the time to connect.
    fn start(&mut self, poll: &OwnedFd, at: usize, request: &Request) -> io::Result<()> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        self.stream.set_nodelay(true)?;
        epoll::modify(poll, &self.stream, data(at), epoll::EventFlags::IN)?;
        self.connected = true;
        self.stream.write_all(request.bytes())
    }

    /// Sends a request, which is far smaller than the socket's send buffer.
    fn send(&mut self, request: &Request) -> io::Result<()> {
        self.received.clear();
        self.length = None;
        self.sent_at = Instant::now();
        self.stream.write_all(request.bytes())
    }

    /// Reads from the socket, and returns the response if it is complete.
    fn read(&mut self) -> io::Result<Option<Sample>> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(unexpected("the end of a connection")),
            Ok(read) => self.received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        if self.length.is_none() {
            self.length = response_length(&self.received)?.map(|(_, length)| length);
        }
        if self.length.is_none_or(|length| self.received.len() < length) {
            return Ok(None);
        }
        let at = Instant::now();
        Ok(Some(Sample { at, latency: ms(at - self.sent_at) }))
    }

    /// Makes the connection end with a reset, because thousands in `TIME_WAIT` would exhaust the ports.
    fn set_reset_on_close(&self) -> io::Result<()> {
        Ok(set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }
}

fn data(at: usize) -> epoll::EventData {
    epoll::EventData::new_u64(u64::try_from(at).unwrap_or(u64::MAX))
}
