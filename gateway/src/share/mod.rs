//! Shared runs: one replica of a fleet runs a check, and the others serve its result.
//!
//! # The store
//!
//! Each check has one key in Redis, `<prefix>:<namespace>:<check>:<digest>`, which is a hash:
//!
//! | field | contents |
//! | --- | --- |
//! | `owner` | a random text of the run that holds the lease; absent without a lease |
//! | `until` | when the lease ends |
//! | `fence` | the number of the last lease |
//! | `record` | the last result, authenticated |
//! | `completed` | when its run was complete |
//! | `published` | the number of its lease |
//! | `home` | the process that got the last lease |
//! | `asked` | when that was asked to run the check again |
//!
//! Times are microseconds of the store's own clock (`TIME`), which the scripts read, so that the clocks of the replicas do not matter.
//! Numbers of leases are such times as well, each greater than the one before, so that they increase even after the key has expired, and greater than any that the replica knows, so that they also increase on a server with a clock that is behind.
//! Each script accesses one key, so that a cluster needs no hash tags, and is atomic.
//! Every write sets the expiry of the key.
//!
//! The process that ran a check last has a connection to the backend, and knows what it has proven there, such as a commit.
//! So within a minute after a result (`AT_HOME` in `check.rs`), others ask it to run the check again, by a message of the key, a newline, `?` and the process in its channel `<prefix>:<process>`, and run it themselves only if it does not react, or if they know a higher number than that of its last lease, since they would ignore its result.
//!
//! A published result is also sent to the channel `<prefix>:<namespace>`, as the key, a newline and the record, so that no replica polls.
//!
//! # Authenticity
//!
//! The digest and the key of the record's HMAC-SHA256 are derived from the namespace's access token, its name, the name of the check, everything that its probe reads of its section, and the version of the program.
//! So replicas with other settings or versions have other keys, the digest reveals nothing, and write access to the store is not enough to forge a result.
//! The lease itself is not authenticated: write access to the store can cause runs, one at a time and not of a rate-limited check before its result expires, and delay them, but no longer than a run waits for others.

mod check;
mod record;
mod scripts;
mod store;

pub(crate) use self::check::{Acquired, Identity, LEASE, Lease, Listener, SharedCheck, SharedRun};
pub use self::store::Store;
