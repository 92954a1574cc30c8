//! What is logged on the thread of a test, spans and libraries included.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

static RECORDING: Once = Once::new();

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Records from here on. Every test has to begin with it: what is logged for the first time while nobody listens is taken for something that nobody wants.
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

/// Everything that was logged on this thread, and so by this test.
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
