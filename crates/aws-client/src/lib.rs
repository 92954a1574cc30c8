//! What every check of an AWS service shares: its settings, the HTTP client, the cache of credentials, and words for what AWS refuses.
//!
//! ```text
//! let aws = Aws::read(&mut fields, section.shared(), None);       // settings, while building
//! let client = aws_sdk_eventbridge::Client::new(aws.config());    // the SDK's client, without any I/O
//! aws.call(steps, "rule", "events:DescribeRule", || client.describe_rule().name("orders").send()).await?
//! ```
//!
//! The SDK signs requests and reads answers; the connections are those of `http-client`, one to each host, so that timeouts, TLS and the loss of a kept connection mean here what they mean everywhere.
//! Its own retries, its correction of clocks and its cache of credentials are off: [`Aws::call`] says when a second attempt is right.
//! Nothing but credentials is read from the environment.

mod aws;
mod clock;
mod codes;
mod credentials;
mod grants;
mod hosts;
mod refusal;
mod run;
#[cfg(feature = "s3")]
pub mod s3;
mod settings;

pub use aws::Aws;
pub use grants::Scope;
pub use hosts::Hosts;
pub use refusal::Refusal;
