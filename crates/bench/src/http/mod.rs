//! HTTP in the bench: callers on raw sockets, and the bare server that is the limit.

pub(crate) mod bare;
pub(crate) mod caller;
pub(crate) mod load;
