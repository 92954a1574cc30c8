//! The task that a connection belongs to: it reads, writes, keeps the heartbeat, and hands on what arrives.
//!
//! Nobody waits in here for anybody, so that whoever asked may be dropped at any moment.

use std::collections::HashMap;
use std::time::Duration;

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, basic, channel, connection};
use bytes::BytesMut;
use probe::Cause;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::channel::Numbers;
use crate::content::Contents;
use crate::frames::{Inbox, write};
use crate::handshake::{Opened, Stream};
use crate::mailbox::Listeners;
use crate::words::{closed, unexpected};

/// So long the broker may take to confirm that a connection is closed.
const CLOSING: Duration = Duration::from_secs(2);
/// The reply code for an end without a reason.
const SUCCESS: u16 = 200;

/// What the task is told to do.
pub(crate) enum Order {
    /// Frames of this channel to be sent together; the channel's methods go to `events` from now on.
    Begin { channel: u16, events: mpsc::UnboundedSender<AMQPClass>, frames: Vec<AMQPFrame> },
    /// Further frames.
    Send(Vec<AMQPFrame>),
    /// Closes this channel; its number is free again when the broker has confirmed that.
    Close(u16),
}

/// What is known of the connection.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// Why the broker takes no messages, if it does not.
    pub(crate) blocked: Option<String>,
    /// Why the connection is over, if it is.
    pub(crate) ended: Option<Cause>,
}

pub(crate) struct Task {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    inbox: Inbox,
    out: BytesMut,
    orders: mpsc::UnboundedReceiver<Order>,
    state: watch::Sender<State>,
    listeners: Listeners,
    numbers: Numbers,
    contents: Contents,
    /// Who is on which channel; nobody is on one that is being closed.
    channels: HashMap<u16, Option<mpsc::UnboundedSender<AMQPClass>>>,
    heartbeat: Duration,
    heard: Instant,
}

impl Task {
    pub(crate) fn new(
        opened: Opened,
        orders: mpsc::UnboundedReceiver<Order>,
        state: watch::Sender<State>,
        listeners: Listeners,
        numbers: Numbers,
    ) -> Self {
        let (reader, writer) = tokio::io::split(opened.stream);
        Self {
            reader,
            writer,
            inbox: opened.inbox,
            out: BytesMut::new(),
            orders,
            state,
            listeners,
            numbers,
            contents: Contents::default(),
            channels: HashMap::new(),
            heartbeat: opened.heartbeat,
            heard: Instant::now(),
        }
    }

    /// Runs until the connection is over, or until nobody holds it any more.
    pub(crate) async fn run(mut self) {
        let cause = match self.work().await {
            Ok(()) => {
                // Whatever goes wrong now, the socket is closed all the same.
                let _closed = timeout(CLOSING, self.close()).await;
                closed()
            }
            Err(cause) => cause.connection_lost(),
        };
        self.state.send_modify(|state| state.ended = Some(cause));
        self.listeners.end();
    }

    async fn work(&mut self) -> Result<(), Cause> {
        let mut beat = interval(self.heartbeat / 2);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unflushed = false;
        loop {
            self.read_frames()?;
            // What was ordered at the same time is sent together.
            while let Ok(order) = self.orders.try_recv() {
                self.take(order)?;
            }
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.take(order)?,
                    None => return Ok(()),
                },
                read = self.reader.read_buf(&mut self.inbox.bytes) => {
                    if read.map_err(tls::cause)? == 0 {
                        return Err(closed());
                    }
                    self.heard = Instant::now();
                }
                sent = send(&mut self.writer, &mut self.out, &mut unflushed),
                    if unflushed || !self.out.is_empty() => sent.map_err(tls::cause)?,
                _ = beat.tick() => self.beat()?,
            }
        }
    }

    fn take(&mut self, order: Order) -> Result<(), Cause> {
        let frames = match order {
            Order::Begin { channel, events, frames } => {
                self.channels.insert(channel, Some(events));
                frames
            }
            Order::Send(frames) => frames,
            Order::Close(channel) => {
                match self.channels.get_mut(&channel) {
                    Some(on_it) => *on_it = None,
                    // The broker was faster.
                    None => return Ok(()),
                }
                let close = channel::Close {
                    reply_code: SUCCESS,
                    reply_text: crate::message::short("")?,
                    class_id: 0,
                    method_id: 0,
                };
                vec![AMQPFrame::Method(
                    channel,
                    AMQPClass::Channel(channel::AMQPMethod::Close(close)),
                )]
            }
        };
        frames.iter().try_for_each(|frame| write(frame, &mut self.out))
    }

    fn beat(&mut self) -> Result<(), Cause> {
        if self.heard.elapsed() > self.heartbeat * 2 {
            let silence = self.heard.elapsed().as_secs();
            return Err(Cause::msg(format!("no heartbeat for {silence} s")));
        }
        // What waits to be sent shows as well that we are alive, as soon as the broker reads again.
        if self.out.is_empty() {
            write(&AMQPFrame::Heartbeat, &mut self.out)?;
        }
        Ok(())
    }

    fn read_frames(&mut self) -> Result<(), Cause> {
        while let Some(frame) = self.inbox.next()? {
            match frame {
                AMQPFrame::Heartbeat => {}
                AMQPFrame::Method(0, AMQPClass::Connection(method)) => self.connection(method)?,
                AMQPFrame::Method(channel, method) => self.channel(channel, method)?,
                AMQPFrame::Header(channel, header) => {
                    if let Some(message) = self.contents.header(channel, header)? {
                        self.listeners.hand_out(&message);
                    }
                }
                AMQPFrame::Body(channel, part) => {
                    if let Some(message) = self.contents.body(channel, &part)? {
                        self.listeners.hand_out(&message);
                    }
                }
                AMQPFrame::ProtocolHeader(_) | AMQPFrame::InvalidHeartbeat(_) => {
                    return Err(unexpected("a frame"));
                }
            }
        }
        Ok(())
    }

    fn connection(&mut self, method: connection::AMQPMethod) -> Result<(), Cause> {
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

    fn channel(&mut self, number: u16, method: AMQPClass) -> Result<(), Cause> {
        match &method {
            AMQPClass::Basic(basic::AMQPMethod::Deliver(_)) => {
                self.contents.begin(number, true);
                return Ok(());
            }
            AMQPClass::Basic(basic::AMQPMethod::Return(_)) => self.contents.begin(number, false),
            AMQPClass::Basic(basic::AMQPMethod::Cancel(_)) => {
                return Err(Cause::msg("the broker took our queue away"));
            }
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) => {
                self.forget(number);
                return Ok(());
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                let ok = AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}));
                write(&AMQPFrame::Method(number, ok), &mut self.out)?;
                // When both sides close it at once, the broker confirms ours as well.
                if let Some(Some(events)) = self.channels.get(&number) {
                    let _nobody_waits = events.send(method);
                    self.forget(number);
                }
                return Ok(());
            }
            _ => {}
        }
        if let Some(Some(events)) = self.channels.get(&number) {
            // Whoever was on the channel may be gone; its closing is on the way.
            let _nobody_waits = events.send(method);
        }
        Ok(())
    }

    fn forget(&mut self, channel: u16) {
        self.channels.remove(&channel);
        self.contents.forget(channel);
        self.numbers.give_back(channel);
    }

    /// Ends the connection in good order, which also removes its queue at once.
    async fn close(&mut self) -> Result<(), Cause> {
        let close = connection::Close {
            reply_code: SUCCESS,
            reply_text: crate::message::short("")?,
            class_id: 0,
            method_id: 0,
        };
        let close = AMQPClass::Connection(connection::AMQPMethod::Close(close));
        write(&AMQPFrame::Method(0, close), &mut self.out)?;
        self.writer.write_all_buf(&mut self.out).await.map_err(tls::cause)?;
        self.writer.flush().await.map_err(tls::cause)?;
        loop {
            while let Some(frame) = self.inbox.next()? {
                let AMQPFrame::Method(0, AMQPClass::Connection(method)) = frame else { continue };
                if let connection::AMQPMethod::CloseOk(_) = method {
                    return Ok(());
                }
            }
            if self.reader.read_buf(&mut self.inbox.bytes).await.map_err(tls::cause)? == 0 {
                return Ok(());
            }
        }
    }
}

/// Writes a part of what is to be sent, or else makes sure that all of it is on its way. Dropped halfway, it loses nothing.
async fn send(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    out: &mut BytesMut,
    unflushed: &mut bool,
) -> std::io::Result<()> {
    if out.is_empty() {
        writer.flush().await?;
        *unflushed = false;
        return Ok(());
    }
    writer.write_buf(out).await?;
    *unflushed = true;
    Ok(())
}
