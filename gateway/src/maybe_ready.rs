//! A value that is mostly known at once.

use std::future::Ready;

use futures_util::future::{BoxFuture, Either};

/// A value that is known at once, or else the future of it: what most requests need takes no allocation.
pub type MaybeReady<T> = Either<Ready<T>, BoxFuture<'static, T>>;
