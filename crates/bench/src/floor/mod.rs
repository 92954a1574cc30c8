//! The floor: the gateway's own questions on raw sockets that are open already, all at once, without any library and without HTTP.
//!
//! Whoever asks these backends these questions cannot be faster than this, whatever it is written in.

mod amqp;
mod celery;
mod postgres;
mod rabbit;
mod redis;
mod scram;
mod socket;

use std::io;
use std::thread;

use crate::backends::Backends;
use crate::error::{Context, Error, Result};

/// Which questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Questions {
    /// Those that the gateway asks, because of what `working` promises.
    Same,
    /// The smallest that these protocols know, which promise less: `SELECT 1`, `PING`, a passive declaration, Celery's `ping`.
    Smallest,
}

/// One open connection with a question that never changes.
trait Line: Send {
    /// Sends the question.
    fn put(&mut self) -> io::Result<()>;

    /// Waits for the whole answer, which must be the right one.
    fn take(&mut self) -> io::Result<()>;
}

type Open = Box<dyn FnOnce() -> io::Result<Box<dyn Line>> + Send>;

/// See the module.
pub(crate) struct Floor(Vec<Box<dyn Line>>);

impl Floor {
    /// Opens all connections at once.
    pub(crate) fn connect(backends: &Backends, questions: Questions) -> Result<Self> {
        let opening: Vec<_> = lines(backends, questions)
            .into_iter()
            .map(|(name, open)| (name, thread::spawn(open)))
            .collect();
        let mut lines = Vec::new();
        for (name, line) in opening {
            let line = line.join().map_err(|_| Error::new(format!("{name}: it panicked")))?;
            lines.push(line.context(name)?);
        }
        Ok(Self(lines))
    }

    /// Puts all questions, and waits until all are answered.
    pub(crate) fn ask(&mut self) -> Result<()> {
        for line in &mut self.0 {
            line.put().context("the floor's question")?;
        }
        // The order does not matter: what is there already does not wait.
        self.0.iter_mut().try_for_each(|line| line.take().context("the floor's answer"))
    }
}

/// All lines, that of the slowest answer first.
fn lines(backends: &Backends, questions: Questions) -> Vec<(&'static str, Open)> {
    let Backends { postgres, redis, redis2, caches, rabbit, celery } = *backends;
    let mut lines: Vec<(&'static str, Open)> = vec![
        ("celery", Box::new(move || Ok(Box::new(celery::Celery::open(celery, questions)?)))),
        ("rabbit", Box::new(move || Ok(Box::new(rabbit::Rabbit::open(rabbit, questions)?)))),
        (
            "postgres",
            Box::new(move || Ok(Box::new(postgres::Postgres::open(postgres, questions)?))),
        ),
    ];
    for address in [redis, redis2] {
        let ask = redis::Question::server(questions);
        lines.push(("redis", Box::new(move || Ok(Box::new(redis::Redis::open(address, 0, ask)?)))));
    }
    for (address, database) in caches.into_iter().zip(1..) {
        let ask = redis::Question::cache();
        let open = move || redis::Redis::open(address, database, ask);
        lines.push(("cache", Box::new(move || Ok(Box::new(open()?)))));
    }
    lines
}
