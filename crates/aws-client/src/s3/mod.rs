//! The check of a bucket of S3, or of a server that speaks its protocol.

mod bucket;
mod canary;
mod checksums;
mod grants;
mod operations;
mod pending_deletes;
mod request_settings;
mod settings;

pub use bucket::Bucket;
