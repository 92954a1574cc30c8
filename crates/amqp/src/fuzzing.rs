//! Entry points for the fuzzer: what a broker sends, in place of a socket.

#![expect(clippy::expect_used, reason = "the fuzzer reports panics")]

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use probe::{LastReceived, Secret, Steps};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use crate::channel_ids::ChannelIds;
use crate::command::{Command, ConnectionState};
use crate::connect_params::Server;
use crate::frames::FrameDecoder;
use crate::handshake::{self, OpenConnection};
use crate::io_loop::IoLoop;
use crate::reply_queue::Dispatcher;

/// Opens a connection to a broker that sends `bytes`, and returns how that ends.
pub async fn handshake(bytes: &[u8]) -> String {
    let (stream, _broker) = broker(bytes).await;
    let server = Server {
        host: "broker".to_owned(),
        port: 5672,
        virtual_host: "/".to_owned(),
        username: "user".to_owned(),
        password: Secret::new("password"),
        tls: None,
    };
    match handshake::open_on(stream, &server, &Steps::new()).await {
        Ok(opened) => format!("heartbeat {:?}", opened.heartbeat),
        Err(failure) => failure.render("broker:5672"),
    }
}

/// Receives `bytes` on an open connection with three channels and a listener, and returns what has arrived.
pub async fn connection(bytes: &[u8]) -> String {
    let (stream, _broker) = broker(bytes).await;
    let (commands, received) = mpsc::unbounded_channel();
    let (sender, state) = watch::channel(ConnectionState::default());
    let (dispatcher, channel_ids) = (Dispatcher::default(), ChannelIds::new(0));
    let seen = Arc::new(Mutex::new(String::new()));
    let log = seen.clone();
    let deliveries = dispatcher.add(move |message| {
        let ticket = message.header("ticket").map(str::len);
        let id = message.correlation_id().map(str::len);
        let seen = format!("{ticket:?} {id:?} {} ", message.body().len());
        log.lock().push_str(&seen);
        true
    });
    let mut events = Vec::new();
    for _ in 0..3 {
        let channel = channel_ids.allocate().expect("a channel");
        let (sender, receiver) = mpsc::channel(crate::channel::MAX_EVENTS);
        events.push(receiver);
        let open = Command::OpenChannel { channel, events: sender, frames: Vec::new() };
        commands.send(open).expect("the loop has not ended");
    }
    let decoder = FrameDecoder::default();
    let heartbeat = Duration::from_secs(10);
    let opened = OpenConnection { stream, decoder, heartbeat, channel_ids };
    let io = IoLoop::new(opened, received, sender, dispatcher, LastReceived::default());
    io.run().await;
    for receiver in &mut events {
        while let Ok(method) = receiver.try_recv() {
            let method = format!("{method:?} ");
            seen.lock().push_str(method.split(['{', '(']).nth(1).unwrap_or_default());
        }
    }
    let ended = state.borrow().ended.as_ref().map(|cause| cause.text().to_owned());
    let seen = seen.lock();
    drop(deliveries);
    format!("{ended:?} {seen}")
}

/// A stream on which a broker has sent `bytes` and nothing follows. They fit into the buffer of a socket.
async fn broker(bytes: &[u8]) -> (net::Stream, UnixStream) {
    let (ours, mut broker) = UnixStream::pair().expect("a pair of sockets");
    broker.write_all(bytes).await.expect("an open socket");
    broker.shutdown().await.expect("an open socket");
    (net::Stream::Unix(ours), broker)
}
