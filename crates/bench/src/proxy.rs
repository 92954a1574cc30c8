//! A proxy for a backend that counts connections and requests, and can break them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::net::sockopt::set_socket_linger;

use crate::error::{Context, Result};

/// How a proxy treats connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyMode {
    Forward,
    /// New connections are reset; open ones are forwarded.
    Reset,
    /// Nothing is forwarded until the mode changes.
    Hold,
}

/// A running proxy, which resets its connections when it is dropped.
pub(crate) struct CountingProxy {
    address: SocketAddr,
    shared: Arc<ProxyState>,
}

struct ProxyState {
    upstream: SocketAddr,
    accepted: AtomicUsize,
    /// The patterns to find in what clients send, each with the number of its matches.
    patterns: Vec<(Vec<u8>, AtomicUsize)>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    mode: Option<ProxyMode>,
    stopped: bool,
    open: Vec<TcpStream>,
}

impl CountingProxy {
    /// Starts a proxy for `upstream` that counts `patterns` in what clients send.
    pub(crate) fn start(upstream: SocketAddr, patterns: &[&str]) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let address = listener.local_addr().context("listen")?;
        let patterns =
            patterns.iter().map(|pattern| (pattern.as_bytes().to_vec(), AtomicUsize::new(0)));
        let shared = Arc::new(ProxyState {
            upstream,
            accepted: AtomicUsize::new(0),
            patterns: patterns.collect(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                if accepting.state.lock().stopped {
                    return;
                }
                accepting.accept(client);
            }
        });
        Ok(Self { address, shared })
    }

    /// Returns the address to connect to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of connections accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Returns the number of matches of each pattern so far.
    pub(crate) fn matches(&self) -> Vec<usize> {
        self.shared.patterns.iter().map(|(_, count)| count.load(Ordering::Relaxed)).collect()
    }

    /// Sets the mode for open and new connections.
    pub(crate) fn set_mode(&self, mode: ProxyMode) {
        self.shared.state.lock().mode = Some(mode);
        self.shared.changed.notify_all();
    }

    /// Resets all open connections.
    pub(crate) fn reset_connections(&self) {
        for stream in self.shared.state.lock().open.drain(..) {
            reset(&stream);
        }
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.changed.notify_all();
        self.reset_connections();
        // This wakes the accepting thread, which then stops.
        drop(TcpStream::connect(self.address));
    }
}

impl ProxyState {
    fn accept(self: &Arc<Self>, client: TcpStream) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if self.state.lock().mode == Some(ProxyMode::Reset) {
            return reset(&client);
        }
        let shared = self.clone();
        thread::spawn(move || {
            shared.wait_while_held();
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
            let mut state = self.state.lock();
            // Closed connections need no reset.
            state.open.retain(|stream| stream.peer_addr().is_ok());
            state.open.extend([client.try_clone()?, server.try_clone()?]);
        }
        let (from, to) = (server.try_clone()?, client.try_clone()?);
        let shared = self.clone();
        let responses = thread::spawn(move || shared.copy(from, to, &[]));
        self.copy(client.try_clone()?, server, &self.patterns);
        // The thread ends, because its sockets are closed.
        drop(responses.join());
        Ok(())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, patterns: &[(Vec<u8>, AtomicUsize)]) {
        let longest = patterns.iter().map(|(pattern, _)| pattern.len()).max().unwrap_or_default();
        let mut chunk = vec![0; 16 * 1024];
        let mut tail = Vec::new();
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            let bytes = &chunk[..read];
            if longest > 0 {
                let before = tail.len();
                tail.extend_from_slice(bytes);
                for (pattern, count) in patterns {
                    // A match within the old tail was counted before.
                    let from = (before + 1).saturating_sub(pattern.len());
                    let matches =
                        tail[from..].windows(pattern.len()).filter(|window| window == pattern);
                    count.fetch_add(matches.count(), Ordering::Relaxed);
                }
                tail.drain(..tail.len().saturating_sub(longest - 1));
            }
            self.wait_while_held();
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            // This fails if it is already closed.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Waits while the mode is [`ProxyMode::Hold`].
    fn wait_while_held(&self) {
        let held = |state: &mut State| state.mode == Some(ProxyMode::Hold) && !state.stopped;
        self.changed.wait_while(&mut self.state.lock(), held);
    }
}

/// Closes a connection with a reset.
fn reset(stream: &TcpStream) {
    // This fails if it is already closed, and then it needs no reset.
    if set_socket_linger(stream, Some(Duration::ZERO)).is_ok() {
        drop(stream.shutdown(Shutdown::Both));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a server that echoes.
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
        let mut reply = vec![0; text.len()];
        stream.read_exact(&mut reply)?;
        Ok(String::from_utf8(reply).unwrap())
    }

    #[test]
    fn connections_and_matches_are_counted_across_reads() {
        let proxy = CountingProxy::start(echo(), &["mark", "k m"]).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        for (text, matches) in [("a mark m", [1, 1]), ("ar", [1, 1]), ("k mark", [3, 2])] {
            assert_eq!(exchange(&mut stream, text).unwrap(), text);
            assert_eq!(proxy.matches(), matches, "{text}");
        }
        assert_eq!(proxy.accepted(), 1);
    }

    #[test]
    fn a_connection_is_held_and_reset_and_rejected() {
        let proxy = CountingProxy::start(echo(), &[]).unwrap();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        exchange(&mut stream, "a").unwrap();
        proxy.set_mode(ProxyMode::Hold);
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        exchange(&mut stream, "b").unwrap_err();
        proxy.set_mode(ProxyMode::Forward);
        stream.set_read_timeout(None).unwrap();
        let mut late = [0];
        stream.read_exact(&mut late).unwrap();
        proxy.reset_connections();
        exchange(&mut stream, "c").unwrap_err();
        proxy.set_mode(ProxyMode::Reset);
        let mut rejected = TcpStream::connect(proxy.address()).unwrap();
        exchange(&mut rejected, "d").unwrap_err();
    }
}
