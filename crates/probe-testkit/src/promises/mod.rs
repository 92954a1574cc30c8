//! The contract's promises, in the order in which they are tested.

mod building;
mod configuration;
mod connections;
mod dropping;
mod faults;
mod shape;
mod tree;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;

use tokio::sync::oneshot;

use crate::Subject;
use crate::suite::Suite;

/// Fails unless the probe keeps every promise of the contract; the message names the one that is broken.
pub async fn promises(subject: Subject) {
    let (done, result) = oneshot::channel();
    // A thread of its own, so that the caller's runtime is free for a server that the test itself plays.
    let thread = std::thread::Builder::new().name(format!("promises of {}", subject.section));
    let spawned = thread.spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(|| keep_all(Suite::new(subject))));
        // A caller that is gone has failed already.
        let _nobody_waits = done.send(ended);
    });
    drop(spawned.expect("a thread can be made"));
    if let Err(broken) = result.await.expect("the thread answers, whatever happens") {
        resume_unwind(broken);
    }
}

type Promise = for<'a> fn(&'a Suite) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const PROMISES: &[(&str, Promise)] = &[
    ("building performs no I/O", |suite| Box::pin(building::performs_no_io(suite))),
    ("a working backend is seen to work", |suite| Box::pin(building::sees_it_work(suite))),
    ("there is no connection per check", |suite| Box::pin(connections::are_kept(suite))),
    ("a backend that is down is seen, and seen to come back", |suite| {
        Box::pin(faults::refused_then_healed(suite))
    }),
    ("a silent backend is seen, and seen to come back", |suite| {
        Box::pin(faults::silent_then_healed(suite))
    }),
    ("a restart of the backend is no alarm", |suite| Box::pin(faults::restarted(suite))),
    ("an answer cut short ends the run", |suite| Box::pin(faults::cut_short(suite))),
    ("a run dropped halfway leaves nothing to the next", |suite| {
        Box::pin(dropping::leaves_nothing(suite))
    }),
    ("other credentials are another connection", |suite| {
        Box::pin(connections::are_not_borrowed(suite))
    }),
    ("every mistake in a table is told with its place", |suite| {
        Box::pin(configuration::tells_every_mistake(suite))
    }),
    ("no configuration, however wrong, makes building panic", |suite| {
        Box::pin(configuration::survives_anything(suite))
    }),
    ("a value that is not known yet keeps the answer's shape", |suite| {
        Box::pin(shape::survives_unknown_values(suite))
    }),
    ("nothing it says holds a secret", |suite| Box::pin(async { shape::hold_no_secret(suite) })),
];

fn keep_all(suite: Suite) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let kept = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            for (name, promise) in PROMISES {
                suite.begin(name);
                promise(&suite).await;
                suite.expect_no_panic();
            }
        });
    }));
    suite.end();
    if let Err(broken) = kept {
        resume_unwind(broken);
    }
}
