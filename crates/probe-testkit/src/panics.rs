//! Counts panics by thread, including those of background tasks that no task joins.

use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};

thread_local! {
    static COUNT_OF_THIS_THREAD: RefCell<Option<Panics>> = const { RefCell::new(None) };
}

/// The count of one suite. Other suites run in the same process at the same time.
#[derive(Clone, Debug)]
pub(crate) struct Panics(Arc<AtomicUsize>);

impl Panics {
    /// A new count of zero.
    pub(crate) fn new() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let previous = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                COUNT_OF_THIS_THREAD.with_borrow(|count| {
                    if let Some(Self(count)) = count {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
                previous(info);
            }));
        });
        Self(Arc::default())
    }

    /// Counts the panics of the calling thread from now on.
    pub(crate) fn count_on_this_thread(&self) {
        COUNT_OF_THIS_THREAD.set(Some(self.clone()));
    }

    /// The number of panics so far.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
