//! SIGTERM and SIGINT stop the gateway, SIGHUP reloads, SIGUSR1 and SIGUSR2 do nothing.

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
    let stops = (
        stopping("SIGTERM", SignalKind::terminate())?,
        stopping("SIGINT", SignalKind::interrupt())?,
    );
    let hangup = signal(SignalKind::hangup())?;
    // Without a handler, these two end the process. A handler stays installed when its stream is dropped.
    drop((signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?));
    let (exit, exiting) = oneshot::channel();
    tokio::spawn(handle(stops, hangup, stop, reload, exit));
    Ok(exiting)
}

/// A signal that stops the gateway.
struct Stopping {
    name: &'static str,
    kind: SignalKind,
    stream: Signal,
}

fn stopping(name: &'static str, kind: SignalKind) -> io::Result<Stopping> {
    Ok(Stopping { name, kind, stream: signal(kind)? })
}

async fn handle(
    (mut terminate, mut interrupt): (Stopping, Stopping),
    mut hangup: Signal,
    stop: CancellationToken,
    reload: Arc<Notify>,
    exit: oneshot::Sender<ExitCode>,
) {
    loop {
        let (signal, kind) = tokio::select! {
            _ = terminate.stream.recv() => (terminate.name, terminate.kind),
            _ = interrupt.stream.recv() => (interrupt.name, interrupt.kind),
            _ = hangup.recv() => {
                tracing::info!("reload requested");
                reload.notify_one();
                continue;
            }
        };
        if stop.is_cancelled() {
            tracing::warn!(signal, "second signal, exiting at once");
            let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
            // The receiver is gone if the process is exiting anyway.
            let _unreceived = exit.send(ExitCode::from(ENDED_BY_SIGNAL + number));
            return;
        }
        tracing::info!(signal, "shutting down");
        stop.cancel();
    }
}
