//! Records the log of a test's thread, with spans and the events of libraries.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

static RECORDING: Once = Once::new();

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Starts recording. Every test must call this first, because `tracing` caches that a call site has no subscriber.
pub(super) fn record() {
    RECORDING.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(|| Recorder)
            .init();
    });
}

/// Returns the log of this thread, and therefore of this test.
pub(super) fn of_this_thread() -> String {
    LINES.with_borrow(|lines| String::from_utf8_lossy(lines).into_owned())
}

struct Recorder;

impl Write for Recorder {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.write(event))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
