//! All targets, each with the code that reads its inputs.

mod amqp;
mod config;
mod http;
mod servers;
mod urls;

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

/// A kind of input, and the code of the product that reads it.
pub struct Target {
    /// The name of the target and of its folder in the corpus.
    pub name: &'static str,
    /// A description of the inputs.
    pub about: &'static str,
    /// The longest input.
    pub max_length: usize,
    /// Words that inputs consist of.
    pub words: &'static [&'static str],
    /// Corrects the lengths in an input, so that the bytes after them are parsed.
    pub repair: Option<fn(Vec<u8>) -> Vec<u8>>,
    /// Makes the function that reads an input. It returns a text that differs if another path was taken, or the defect.
    pub start: fn() -> Call,
}

/// Reads an input: see [`Target::start`].
pub type Call = Box<dyn FnMut(&[u8]) -> Result<String, String>>;

/// All targets.
pub const TARGETS: &[Target] = &[
    http::REQUEST,
    config::FILE,
    config::REFERENCE,
    urls::URL,
    amqp::HANDSHAKE,
    amqp::CONNECTION,
    servers::REDIS,
    servers::CELERY,
    servers::BINDINGS,
    servers::POSTGRES,
    servers::WEBSOCKET_RESPONSE,
    servers::WEBSOCKET,
    servers::CLICKHOUSE,
    servers::VAULT,
];

/// A runtime on the thread of the fuzzer, so that its processor time includes that of all tasks.
#[expect(clippy::expect_used, reason = "the fuzzer cannot run without it")]
fn runtime() -> Arc<Runtime> {
    Arc::new(Builder::new_current_thread().enable_all().build().expect("a runtime"))
}

/// Runs `work` and then every task that it has spawned, so that none is left for the next input.
fn block_on<T>(runtime: &Runtime, work: impl Future<Output = T>) -> Result<T, String> {
    /// A task that has not ended after this many turns counts as one that never ends.
    const TURNS: usize = 10_000;
    runtime.block_on(async {
        let result = work.await;
        for _ in 0..TURNS {
            if runtime.metrics().num_alive_tasks() == 0 {
                return Ok(result);
            }
            tokio::task::yield_now().await;
        }
        Err("a task has not ended".to_owned())
    })
}
