//! HTTP clients on raw sockets, and the bare server that is the limit.

pub(crate) mod bare;
pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod sender;
