//! A proxy before a backend: it counts connections and questions, and can break them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::error::{Context, Result};

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// New connections are reset; those that are open go on.
    Refuse,
    /// Nothing is handed on until the mode is another.
    Hold,
}

/// See the module. Its connections end when it is dropped.
pub(crate) struct Tap {
    listen: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    accepted: AtomicUsize,
    /// What is looked for in the questions, and how often it was seen.
    marks: Vec<(Vec<u8>, AtomicUsize)>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    mode: Option<Mode>,
    over: bool,
    open: Vec<TcpStream>,
}

impl Tap {
    /// Stands before `upstream`, and counts `marks` in what clients send.
    pub(crate) fn before(upstream: SocketAddr, marks: &[&str]) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let listen = listener.local_addr().context("listen")?;
        let marks = marks.iter().map(|mark| (mark.as_bytes().to_vec(), AtomicUsize::new(0)));
        let shared = Arc::new(Shared {
            upstream,
            accepted: AtomicUsize::new(0),
            marks: marks.collect(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if accepting.state().over {
                    return;
                }
                accepting.accept(client);
            }
        });
        Ok(Self { listen, shared })
    }

    /// Where clients connect to.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// How many connections were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How often each mark was seen so far.
    pub(crate) fn seen(&self) -> Vec<usize> {
        self.shared.marks.iter().map(|(_, seen)| seen.load(Ordering::Relaxed)).collect()
    }

    /// From now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.shared.state().mode = Some(mode);
        self.shared.changed.notify_all();
    }

    /// Resets every connection that is open.
    pub(crate) fn cut(&self) {
        for stream in self.shared.state().open.drain(..) {
            reset(&stream);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shared.changed.notify_all();
        self.cut();
        // The thread that accepts sees only now that it is over.
        drop(TcpStream::connect(self.listen));
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, client: TcpStream) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if self.state().mode == Some(Mode::Refuse) {
            return reset(&client);
        }
        let shared = self.clone();
        thread::spawn(move || {
            shared.wait();
            if shared.relay(&client).is_err() {
                reset(&client);
            }
        });
    }

    fn relay(self: &Arc<Self>, client: &TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(self.upstream)?;
        server.set_nodelay(true)?;
        client.set_nodelay(true)?;
        {
            let mut state = self.state();
            // Those that are over by themselves need no reset any more.
            state.open.retain(|stream| stream.peer_addr().is_ok());
            state.open.extend([client.try_clone()?, server.try_clone()?]);
        }
        let (from, to) = (server.try_clone()?, client.try_clone()?);
        let shared = self.clone();
        let answers = thread::spawn(move || shared.pump(from, to, &[]));
        self.pump(client.try_clone()?, server, &self.marks);
        // It ends because its sockets are closed.
        drop(answers.join());
        Ok(())
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, marks: &[(Vec<u8>, AtomicUsize)]) {
        let longest = marks.iter().map(|(mark, _)| mark.len()).max().unwrap_or_default();
        let mut chunk = vec![0; 16 * 1024];
        let mut tail = Vec::new();
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            let bytes = &chunk[..read];
            if longest > 0 {
                let before = tail.len();
                tail.extend_from_slice(bytes);
                for (mark, seen) in marks {
                    // What lies within the old tail was counted before.
                    let from = (before + 1).saturating_sub(mark.len());
                    let found = tail[from..].windows(mark.len()).filter(|window| window == mark);
                    seen.fetch_add(found.count(), Ordering::Relaxed);
                }
                tail.drain(..tail.len().saturating_sub(longest - 1));
            }
            self.wait();
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Waits as long as bytes are held.
    fn wait(&self) {
        let held = |state: &mut State| state.mode == Some(Mode::Hold) && !state.over;
        let waited = self.changed.wait_while(self.state(), held);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a connection for both sides, by a reset.
fn reset(stream: &TcpStream) {
    // One that is closed already needs no reset.
    if set_socket_linger(stream, Some(Duration::ZERO)).is_ok() {
        drop(stream.shutdown(Shutdown::Both));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    drop(std::io::copy(&mut &stream, &mut &stream));
                });
            }
        });
        address
    }

    fn exchange(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
        stream.write_all(text.as_bytes())?;
        let mut answer = vec![0; text.len()];
        stream.read_exact(&mut answer)?;
        Ok(String::from_utf8(answer).unwrap())
    }

    #[test]
    fn connections_and_questions_are_counted_even_in_pieces() {
        let tap = Tap::before(echo(), &["mark", "k m"]).unwrap();
        let mut stream = TcpStream::connect(tap.listen()).unwrap();
        for (text, seen) in [("a mark m", [1, 1]), ("ar", [1, 1]), ("k mark", [3, 2])] {
            assert_eq!(exchange(&mut stream, text).unwrap(), text);
            assert_eq!(tap.seen(), seen, "{text}");
        }
        assert_eq!(tap.accepted(), 1);
    }

    #[test]
    fn a_connection_is_held_and_cut_and_refused() {
        let tap = Tap::before(echo(), &[]).unwrap();
        let mut stream = TcpStream::connect(tap.listen()).unwrap();
        exchange(&mut stream, "a").unwrap();
        tap.set(Mode::Hold);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        exchange(&mut stream, "b").unwrap_err();
        tap.set(Mode::Pass);
        stream.set_read_timeout(None).unwrap();
        let mut late = [0];
        stream.read_exact(&mut late).unwrap();
        tap.cut();
        exchange(&mut stream, "c").unwrap_err();
        tap.set(Mode::Refuse);
        let mut refused = TcpStream::connect(tap.listen()).unwrap();
        exchange(&mut refused, "d").unwrap_err();
    }
}
