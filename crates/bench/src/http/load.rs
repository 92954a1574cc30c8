//! Many callers at once, on one thread: each asks again as soon as it is answered.

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
use crate::http::caller::{Request, length};
use crate::measure::ms;

/// How the callers go about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) callers: usize,
    /// So long new questions are asked.
    pub(crate) lasting: Duration,
    /// Whether each question has a connection of its own.
    pub(crate) fresh_connections: bool,
}

/// When an answer was complete, and how long its caller had waited, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) at: Instant,
    pub(crate) waited: f64,
}

/// What all callers heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) answers: Vec<Answered>,
    /// Connections that ended before the answer; their callers have asked again on others.
    pub(crate) lost: usize,
    /// Callers whose last question was never answered.
    pub(crate) unanswered: usize,
}

/// So long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Load {
    /// Asks, and waits for the last answers; every answer must be a 200, and every question answered.
    pub(crate) fn run(self, address: SocketAddr, request: &Request) -> Result<Vec<Answered>> {
        match self.try_run(address, request)? {
            Heard { answers, lost: 0, unanswered: 0 } => Ok(answers),
            Heard { lost, unanswered, .. } => Err(Error::new(format!(
                "the callers: {lost} connections lost, {unanswered} questions unanswered"
            ))),
        }
    }

    /// The same, but connections may be lost and questions unanswered.
    pub(crate) fn try_run(self, address: SocketAddr, request: &Request) -> Result<Heard> {
        self.exchange(address, request).context("the callers")
    }

    fn exchange(self, address: SocketAddr, request: &Request) -> io::Result<Heard> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let begun = Instant::now();
        let end = begun + self.lasting;
        let mut heard = Heard::default();
        let connect = |at| Caller::connect(address, &poll, at);
        let mut callers: Vec<_> = (0..self.callers).map(connect).collect::<io::Result<_>>()?;
        let mut open = callers.len();
        let mut events = Vec::with_capacity(256);
        while open > 0 {
            if Instant::now() > end + PATIENCE {
                heard.unanswered = open;
                break;
            }
            events.clear();
            let second = Timespec { tv_sec: 1, tv_nsec: 0 };
            epoll::wait(&poll, spare_capacity(&mut events), Some(&second))?;
            for event in &events {
                let at = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                let Some(caller) = callers.get_mut(at) else { continue };
                let answered = match caller.go_on(&poll, at, request) {
                    Ok(None) => continue,
                    Ok(Some(answered)) => answered,
                    Err(error) if is_lost(&error) && Instant::now() < end => {
                        heard.lost += 1;
                        *caller = connect(at)?;
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                heard.answers.push(answered);
                if answered.at >= end {
                    epoll::delete(&poll, &caller.stream)?;
                    // Others may wait for the place.
                    caller.stream.shutdown(Shutdown::Both)?;
                    open -= 1;
                } else if self.fresh_connections {
                    caller.hang_up()?;
                    *caller = connect(at)?;
                } else {
                    caller.ask(request)?;
                }
            }
        }
        Ok(heard)
    }
}

fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::TimedOut)
}

struct Caller {
    stream: TcpStream,
    connected: bool,
    received: Vec<u8>,
    /// The answer's length, once its head is there.
    whole: Option<usize>,
    asked: Instant,
}

impl Caller {
    /// Begins to connect; the socket can be written to when it is done.
    fn connect(address: SocketAddr, poll: &OwnedFd, at: usize) -> io::Result<Self> {
        let asked = Instant::now();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        epoll::add(poll, &socket, data(at), epoll::EventFlags::OUT)?;
        let stream = TcpStream::from(socket);
        Ok(Self { stream, connected: false, received: Vec::new(), whole: None, asked })
    }

    /// Does what can be done now; the answer, if all of it is there.
    fn go_on(
        &mut self,
        poll: &OwnedFd,
        at: usize,
        request: &Request,
    ) -> io::Result<Option<Answered>> {
        if self.connected {
            return self.answer();
        }
        self.begin(poll, at, request).map(|()| None)
    }

    /// Asks for the first time on this connection; whoever waits for the connection waits for the answer.
    fn begin(&mut self, poll: &OwnedFd, at: usize, request: &Request) -> io::Result<()> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        self.stream.set_nodelay(true)?;
        epoll::modify(poll, &self.stream, data(at), epoll::EventFlags::IN)?;
        self.connected = true;
        self.stream.write_all(request.bytes())
    }

    /// Asks again. A request is far smaller than what a socket takes at once.
    fn ask(&mut self, request: &Request) -> io::Result<()> {
        self.received.clear();
        self.whole = None;
        self.asked = Instant::now();
        self.stream.write_all(request.bytes())
    }

    /// The answer, if all of it is there.
    fn answer(&mut self) -> io::Result<Option<Answered>> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Err(unexpected("the end of a connection")),
            Ok(read) => self.received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        if self.whole.is_none() {
            self.whole = length(&self.received)?.map(|(_, whole)| whole);
        }
        if self.whole.is_none_or(|whole| self.received.len() < whole) {
            return Ok(None);
        }
        let at = Instant::now();
        Ok(Some(Answered { at, waited: ms(at - self.asked) }))
    }

    /// Closes the connection by a reset: thousands of closed ones would use up the ports otherwise.
    fn hang_up(&self) -> io::Result<()> {
        Ok(set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }
}

fn data(at: usize) -> epoll::EventData {
    epoll::EventData::new_u64(u64::try_from(at).unwrap_or(u64::MAX))
}
