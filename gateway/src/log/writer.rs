//! Writes log lines on a dedicated thread, so that a slow reader delays nothing else.

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::sleep;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

/// How many lines can be queued. Further lines are dropped.
const QUEUED_LINES: usize = 1024;

/// The size limit of a line in bytes. A longer line is truncated, so that the memory of the queue is bounded.
const MAX_LINE: usize = 16 * 1024;

/// How often dropped lines are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Queues lines for standard error. Secrets are removed, in case one is logged despite its type.
#[derive(Clone, Debug)]
pub(super) struct Writer(NonBlocking);

/// A handle to the thread that writes the log. Dropping it writes the queued lines, for at most a second.
#[derive(Debug)]
pub struct Log {
    _worker: WorkerGuard,
    dropped: ErrorCounter,
}

/// Starts the thread that writes to standard error.
pub(super) fn start() -> (Writer, Log) {
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUED_LINES);
    let (queue, worker) = builder.thread_name("log").finish(io::stderr());
    let dropped = queue.error_counter();
    (Writer(queue), Log { _worker: worker, dropped })
}

/// The lines that were dropped because the queue was full.
#[derive(Clone, Debug)]
pub struct DroppedLines(ErrorCounter);

impl DroppedLines {
    /// How many there are since the start.
    pub(crate) fn count(&self) -> u64 {
        self.0.dropped_lines().try_into().unwrap_or(u64::MAX)
    }
}

impl Log {
    /// Returns the lines that were dropped.
    pub fn dropped(&self) -> DroppedLines {
        DroppedLines(self.dropped.clone())
    }

    /// Returns a task that logs how many lines were dropped because the queue was full. It never completes.
    pub fn report_dropped(&self) -> impl Future<Output = ()> + Send + 'static {
        let dropped = self.dropped.clone();
        async move {
            let mut reported = 0;
            loop {
                sleep(REPORT_INTERVAL).await;
                let count = dropped.dropped_lines();
                if count > reported {
                    tracing::warn!(lines = count - reported, "log lines dropped");
                    // If this line was dropped itself, the next one includes its count.
                    if dropped.dropped_lines() == count {
                        reported = count;
                    }
                }
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Writer {
    /// Each event arrives in a single call, so no secret is split.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut line = probe::scrub(&String::from_utf8_lossy(event));
        if line.len() > MAX_LINE {
            line.truncate(line.floor_char_boundary(MAX_LINE));
            line.push('\n');
        }
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
