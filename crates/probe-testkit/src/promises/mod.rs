//! The promises of the contract, in the order in which they are tested.

mod building;
mod configuration;
mod connections;
mod dropping;
mod faults;
mod hostile;
mod shape;
mod tree;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;

use tokio::sync::oneshot;

use crate::Subject;
use crate::suite::Suite;

/// Tests every promise of the contract; panics with the first one that the probe breaks.
pub async fn promises(subject: Subject) {
    let (done, result) = oneshot::channel();
    // A thread of its own leaves the caller's runtime free for a server that the test itself runs.
    let thread = std::thread::Builder::new().name(format!("promises of {}", subject.section));
    let spawned = thread.spawn(move || {
        let ended = catch_unwind(AssertUnwindSafe(|| test_all(Suite::new(subject))));
        // The receiver is gone if the test has failed.
        let _dropped = done.send(ended);
    });
    drop(spawned.expect("a thread can be created"));
    if let Err(panic) = result.await.expect("the thread always sends its result") {
        resume_unwind(panic);
    }
}

type Promise = for<'a> fn(&'a Suite) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Each promise as a sentence about the probe, and its test.
const PROMISES: &[(&str, Promise)] = &[
    ("building performs no I/O", |suite| Box::pin(building::performs_no_io(suite))),
    ("checks of a working backend succeed", |suite| Box::pin(building::checks_succeed(suite))),
    ("checks share their connections", |suite| Box::pin(connections::are_shared(suite))),
    ("checks fail while the backend is down and succeed once it is up", |suite| {
        Box::pin(faults::refused_then_healed(suite))
    }),
    ("checks of a silent backend wait and succeed once it answers", |suite| {
        Box::pin(faults::silent_then_healed(suite))
    }),
    ("a reused connection that is silent fails no check", |suite| {
        Box::pin(faults::forgotten(suite))
    }),
    ("the first run after a restart succeeds", |suite| Box::pin(faults::restarted(suite))),
    ("a run ends when its answer is cut short", |suite| Box::pin(faults::cut_short(suite))),
    ("a run that is dropped does not affect the next one", |suite| {
        Box::pin(dropping::leaves_nothing(suite))
    }),
    ("a hostile answer ends a check and nothing else", |suite| {
        Box::pin(hostile::answers_end_a_check(suite))
    }),
    ("different credentials never share a connection", |suite| {
        Box::pin(connections::are_separated_by_credentials(suite))
    }),
    ("every error in a table is reported with its line", |suite| {
        Box::pin(configuration::reports_every_error(suite))
    }),
    ("no invalid configuration makes building panic", |suite| {
        Box::pin(configuration::never_panics(suite))
    }),
    ("an unknown value does not change the names of the checks", |suite| {
        Box::pin(shape::is_stable_with_unknown_values(suite))
    }),
    ("no output contains a secret", |suite| {
        Box::pin(async { shape::output_contains_no_secret(suite) })
    }),
];

fn test_all(suite: Suite) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be created");
    let tested = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            for (name, promise) in PROMISES {
                suite.begin(name);
                promise(&suite).await;
                suite.expect_no_panic();
            }
        });
    }));
    suite.end();
    if let Err(panic) = tested {
        resume_unwind(panic);
    }
}
