//! The task of a connection: reads, writes, sends heartbeats and dispatches messages.
//!
//! The loop never waits for a receiver, so that a caller may be dropped at any time.

use std::collections::HashMap;
use std::time::Duration;

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, basic, channel, connection};
use bytes::BytesMut;
use probe::{Cause, LastReceived, yield_now};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::assembler::MessageAssembler;
use crate::channel_ids::ChannelIds;
use crate::command::{Command, ConnectionState};
use crate::error::{connection_closed, too_large, unexpected};
use crate::frames::{FrameDecoder, encode};
use crate::handshake::OpenConnection;
use crate::message::short_string;
use crate::reply_queue::Dispatcher;

/// The time that the broker has to confirm `connection.close`.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest number of unsent bytes. The connection fails if the broker does not read the answers to its methods.
const MAX_UNSENT: usize = 1024 * 1024;
/// The reply code of a normal close.
const REPLY_SUCCESS: u16 = 200;

/// Reads and writes the socket of one connection.
pub(crate) struct IoLoop {
    reader: ReadHalf<net::Stream>,
    writer: WriteHalf<net::Stream>,
    decoder: FrameDecoder,
    write_buffer: BytesMut,
    commands: mpsc::UnboundedReceiver<Command>,
    state: watch::Sender<ConnectionState>,
    dispatcher: Dispatcher,
    channel_ids: ChannelIds,
    assembler: MessageAssembler,
    /// The receiver of each open channel, `None` for a channel that is being closed.
    channels: HashMap<u16, Option<mpsc::Sender<AMQPClass>>>,
    heartbeat: Duration,
    last_read: Instant,
    last_received: LastReceived,
}

impl IoLoop {
    pub(crate) fn new(
        opened: OpenConnection,
        commands: mpsc::UnboundedReceiver<Command>,
        state: watch::Sender<ConnectionState>,
        dispatcher: Dispatcher,
        last_received: LastReceived,
    ) -> Self {
        let (reader, writer) = tokio::io::split(opened.stream);
        Self {
            reader,
            writer,
            decoder: opened.decoder,
            write_buffer: BytesMut::new(),
            commands,
            state,
            dispatcher,
            channel_ids: opened.channel_ids,
            assembler: MessageAssembler::default(),
            channels: HashMap::new(),
            heartbeat: opened.heartbeat,
            last_read: Instant::now(),
            last_received,
        }
    }

    /// Runs until the connection ends or its handle is dropped.
    pub(crate) async fn run(mut self) {
        let cause = match self.run_until_dropped().await {
            Ok(()) => {
                // Best effort: the socket is closed in any case.
                let _closed = timeout(CLOSE_TIMEOUT, self.close()).await;
                connection_closed()
            }
            Err(cause) => cause.connection_lost(),
        };
        self.state.send_modify(|state| state.ended = Some(cause));
        self.dispatcher.close();
    }

    /// Runs until the connection fails, or returns `Ok` when its handle is dropped.
    async fn run_until_dropped(&mut self) -> Result<(), Cause> {
        let mut heartbeat = interval(self.heartbeat / 2);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unflushed = false;
        loop {
            self.read_frames()?;
            if self.dispatcher.is_crowded() {
                // The loop does not wait for receivers, but lets those that run take their messages.
                yield_now().await;
            }
            // Pending commands are written together.
            while let Ok(command) = self.commands.try_recv() {
                self.execute(command)?;
            }
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.execute(command)?,
                    None => return Ok(()),
                },
                read = self.reader.read_buf(&mut self.decoder.buffer) => {
                    if read.map_err(net::cause)? == 0 {
                        return Err(connection_closed());
                    }
                    self.last_read = Instant::now();
                    self.last_received.update();
                }
                written = write_or_flush(&mut self.writer, &mut self.write_buffer, &mut unflushed),
                    if unflushed || !self.write_buffer.is_empty() => written.map_err(net::cause)?,
                _ = heartbeat.tick() => self.heartbeat()?,
            }
        }
    }

    fn execute(&mut self, command: Command) -> Result<(), Cause> {
        let frames = match command {
            Command::OpenChannel { channel, events, frames } => {
                self.channels.insert(channel, Some(events));
                frames
            }
            Command::Send(frames) => frames,
            Command::CloseChannel(channel) => {
                match self.channels.get_mut(&channel) {
                    Some(events) => *events = None,
                    // The broker has closed the channel already.
                    None => return Ok(()),
                }
                let close = channel::Close {
                    reply_code: REPLY_SUCCESS,
                    reply_text: short_string("")?,
                    class_id: 0,
                    method_id: 0,
                };
                vec![AMQPFrame::Method(
                    channel,
                    AMQPClass::Channel(channel::AMQPMethod::Close(close)),
                )]
            }
        };
        frames.iter().try_for_each(|frame| encode(frame, &mut self.write_buffer))
    }

    /// Fails if the broker has sent nothing for too long. Sends a heartbeat if nothing else is being sent.
    fn heartbeat(&mut self) -> Result<(), Cause> {
        if self.last_read.elapsed() > self.heartbeat * 2 {
            let silence = self.last_read.elapsed().as_secs();
            return Err(Cause::msg(format!("no heartbeat for {silence} s")));
        }
        // Any frame counts as a heartbeat.
        if self.write_buffer.is_empty() {
            encode(&AMQPFrame::Heartbeat, &mut self.write_buffer)?;
        }
        Ok(())
    }

    fn read_frames(&mut self) -> Result<(), Cause> {
        while let Some(frame) = self.decoder.next()? {
            match frame {
                AMQPFrame::Heartbeat => {}
                AMQPFrame::Method(0, AMQPClass::Connection(method)) => {
                    self.connection_method(method)?;
                }
                AMQPFrame::Method(channel, method) => self.channel_method(channel, method)?,
                AMQPFrame::Header(channel, header) => {
                    if let Some(message) = self.assembler.add_header(channel, header)? {
                        self.dispatcher.dispatch(&message)?;
                    }
                }
                AMQPFrame::Body(channel, part) => {
                    if let Some(message) = self.assembler.add_body(channel, &part)? {
                        self.dispatcher.dispatch(&message)?;
                    }
                }
                AMQPFrame::ProtocolHeader(_) | AMQPFrame::InvalidHeartbeat(_) => {
                    return Err(unexpected("a frame"));
                }
            }
        }
        Ok(())
    }

    fn connection_method(&mut self, method: connection::AMQPMethod) -> Result<(), Cause> {
        use connection::AMQPMethod as Method;
        match method {
            Method::Blocked(blocked) => {
                let reason = Some(blocked.reason.to_string());
                self.state.send_modify(|state| state.blocked = reason);
            }
            Method::Unblocked(_) => self.state.send_modify(|state| state.blocked = None),
            Method::Close(close) => {
                return Err(Cause::msg(format!(
                    "the broker closed the connection: {}",
                    close.reply_text
                )));
            }
            _ => return Err(unexpected("a method")),
        }
        Ok(())
    }

    fn channel_method(&mut self, channel: u16, method: AMQPClass) -> Result<(), Cause> {
        match &method {
            AMQPClass::Basic(basic::AMQPMethod::Deliver(_)) => {
                self.begin_message(channel, true)?;
                return Ok(());
            }
            AMQPClass::Basic(basic::AMQPMethod::Return(_)) => {
                self.begin_message(channel, false)?;
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(_)) => {
                return Err(Cause::msg("the broker cancelled the consumer of the reply queue"));
            }
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) => {
                self.remove_channel(channel);
                return Ok(());
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                let ok = AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}));
                encode(&AMQPFrame::Method(channel, ok), &mut self.write_buffer)?;
                // If both sides close the channel at once, its id is released by the broker's `close-ok`.
                if let Some(Some(_)) = self.channels.get(&channel) {
                    self.forward(channel, method)?;
                    self.remove_channel(channel);
                }
                return self.verify_unsent();
            }
            _ => {}
        }
        self.forward(channel, method)
    }

    /// Begins a message, which the broker may only send on an open channel.
    fn begin_message(&mut self, channel: u16, is_delivery: bool) -> Result<(), Cause> {
        if !self.channels.contains_key(&channel) {
            return Err(unexpected("a message"));
        }
        self.assembler.begin(channel, is_delivery);
        Ok(())
    }

    /// Forwards a method to the receiver of its channel. Fails if the receiver's buffer is full.
    fn forward(&self, channel: u16, method: AMQPClass) -> Result<(), Cause> {
        let Some(Some(events)) = self.channels.get(&channel) else { return Ok(()) };
        match events.try_send(method) {
            Err(TrySendError::Full(_)) => Err(too_large()),
            // The receiver may have been dropped. The command to close the channel follows.
            Err(TrySendError::Closed(_)) | Ok(()) => Ok(()),
        }
    }

    /// Fails if the broker sends methods that require an answer but does not read the answers.
    fn verify_unsent(&self) -> Result<(), Cause> {
        if self.write_buffer.len() > MAX_UNSENT { Err(too_large()) } else { Ok(()) }
    }

    fn remove_channel(&mut self, channel: u16) {
        self.channels.remove(&channel);
        self.assembler.remove(channel);
        self.channel_ids.release(channel);
    }

    /// Closes the connection with `connection.close`, which also deletes the reply queue at once.
    async fn close(&mut self) -> Result<(), Cause> {
        let close = connection::Close {
            reply_code: REPLY_SUCCESS,
            reply_text: short_string("")?,
            class_id: 0,
            method_id: 0,
        };
        let close = AMQPClass::Connection(connection::AMQPMethod::Close(close));
        encode(&AMQPFrame::Method(0, close), &mut self.write_buffer)?;
        self.writer.write_all_buf(&mut self.write_buffer).await.map_err(net::cause)?;
        self.writer.flush().await.map_err(net::cause)?;
        loop {
            while let Some(frame) = self.decoder.next()? {
                let AMQPFrame::Method(0, AMQPClass::Connection(method)) = frame else { continue };
                if let connection::AMQPMethod::CloseOk(_) = method {
                    return Ok(());
                }
            }
            if self.reader.read_buf(&mut self.decoder.buffer).await.map_err(net::cause)? == 0 {
                return Ok(());
            }
        }
    }
}

/// Writes a part of `buffer`, or flushes the writer if it is empty. This is cancel safe.
async fn write_or_flush(
    writer: &mut WriteHalf<net::Stream>,
    buffer: &mut BytesMut,
    unflushed: &mut bool,
) -> std::io::Result<()> {
    if buffer.is_empty() {
        writer.flush().await?;
        *unflushed = false;
        return Ok(());
    }
    writer.write_buf(buffer).await?;
    *unflushed = true;
    Ok(())
}
