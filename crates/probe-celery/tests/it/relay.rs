//! A relay to a server that acts on one command of its clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use probe_testkit::serve_tcp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than any command or answer of the tests.
const BUFFER: usize = 64 * 1024;

/// What happens to the connection on which the command was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It stays open.
    Continue,
    /// It is closed when the server has answered, in place of the answer.
    Close,
}

/// Starts a relay to `server` on 127.0.0.1. When a client sends `command` for the first time, `act` gets the bytes before the server does.
///
/// Returns the address, and how often the command has been sent.
pub(crate) async fn relay(
    server: u16,
    command: &'static str,
    act: impl Fn(&str) -> Then + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let (act, count) = (Arc::new(act), Arc::<AtomicUsize>::default());
    let seen = count.clone();
    let serve = move |mut client: TcpStream| {
        let (act, seen) = (act.clone(), seen.clone());
        async move {
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let (mut sent, mut answer) = (vec![0; BUFFER], vec![0; BUFFER]);
            loop {
                let forwarded = tokio::select! {
                    Ok(size @ 1..) = client.read(&mut sent) => {
                        let text = String::from_utf8_lossy(&sent[..size]);
                        let is_first =
                            text.contains(command) && seen.fetch_add(1, Ordering::SeqCst) == 0;
                        let then = if is_first { act(&text) } else { Then::Continue };
                        let forwarded = server.write_all(&sent[..size]).await;
                        if then == Then::Close {
                            assert_ne!(server.read(&mut answer).await.unwrap(), 0);
                            return;
                        }
                        forwarded
                    }
                    Ok(size @ 1..) = server.read(&mut answer) => {
                        client.write_all(&answer[..size]).await
                    }
                    else => return,
                };
                if forwarded.is_err() {
                    return;
                }
            }
        }
    };
    (serve_tcp(serve).await, count)
}
