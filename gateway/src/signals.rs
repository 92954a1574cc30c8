//! Signals: SIGTERM and SIGINT stop the gateway, SIGHUP reloads or stops it.
//!
//! SIGUSR1 and SIGUSR2 do nothing.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that a signal ended is this plus the number of the signal.
const ENDED_BY_SIGNAL: u8 = 128;

/// Cancels `stop` at the first SIGTERM or SIGINT, and notifies `reload` at each SIGHUP.
///
/// At the second SIGTERM or SIGINT, the receiver gets the code to exit with at once.
pub fn watch(
    stop: CancellationToken,
    reload: Arc<Notify>,
) -> io::Result<oneshot::Receiver<ExitCode>> {
    let stops = StopSignals::listen()?;
    let hangup = signal(SignalKind::hangup())?;
    // Without a handler, these two end the process. A handler stays installed when its stream is dropped.
    drop((signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?));
    let (exit, exiting) = oneshot::channel();
    tokio::spawn(handle(stops, hangup, stop, reload, exit));
    Ok(exiting)
}

/// Receives the signals that stop the process.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

/// A signal that stops the process.
#[derive(Clone, Copy)]
pub struct StopSignal {
    name: &'static str,
    kind: SignalKind,
}

impl StopSignals {
    /// Listens from now on, so that the signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())?, hangup: None })
    }

    /// The same with SIGHUP, which a closed terminal sends to the commands in it.
    pub fn listen_in_terminal() -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::listen()? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> StopSignal {
        let hangup = async { self.hangup.as_mut()?.recv().await };
        tokio::select! {
            _ = self.terminate.recv() => StopSignal { name: "SIGTERM", kind: SignalKind::terminate() },
            _ = self.interrupt.recv() => StopSignal { name: "SIGINT", kind: SignalKind::interrupt() },
            Some(()) = hangup => StopSignal { name: "SIGHUP", kind: SignalKind::hangup() },
        }
    }
}

impl StopSignal {
    /// The exit code of a process that ends because of this signal.
    pub fn exit_code(self) -> ExitCode {
        let number = u8::try_from(self.kind.as_raw_value()).unwrap_or_default();
        ExitCode::from(ENDED_BY_SIGNAL + number)
    }
}

async fn handle(
    mut stops: StopSignals,
    mut hangup: Signal,
    stop: CancellationToken,
    reload: Arc<Notify>,
    exit: oneshot::Sender<ExitCode>,
) {
    loop {
        let signal = tokio::select! {
            signal = stops.next() => signal,
            _ = hangup.recv() => {
                tracing::info!("reload requested");
                reload.notify_one();
                continue;
            }
        };
        if stop.is_cancelled() {
            tracing::warn!(signal = signal.name, "second signal, exiting at once");
            // The receiver is gone if the process is exiting anyway.
            let _unreceived = exit.send(signal.exit_code());
            return;
        }
        tracing::info!(signal = signal.name, "shutting down");
        stop.cancel();
    }
}
