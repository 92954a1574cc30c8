//! A bucket of S3, or of a server that speaks its protocol, asked for the kinds of access that an application needs.

mod bucket;
mod canary;
mod settings;

pub use bucket::Bucket;
