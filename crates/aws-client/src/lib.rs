//! What all checks of AWS services share: settings, credentials, the HTTP client and error texts.
//!
//! ```text
//! let aws = AwsContext::read(&mut fields, section.shared(), None);   // settings, while building
//! let client = aws_sdk_eventbridge::Client::new(aws.config());       // the SDK's client, without any I/O
//! aws.call(steps, "rule", "events:DescribeRule", || client.describe_rule().name("orders").send()).await?
//! ```
//!
//! The SDK signs requests and parses responses. The connections are those of `http-client`, one per host, so that timeouts, TLS and lost connections are handled as in all other probes.
//! The SDK's retries, clock skew correction and identity cache are off: [`AwsContext::call`] decides when to retry.
//! Nothing but credentials is read from the environment.

mod call_context;
mod call_error;
mod client_pool;
mod clock_skew;
mod context;
mod credential_settings;
mod credentials;
mod error_codes;
mod error_response;
mod grants;
mod retry;
#[cfg(feature = "s3")]
pub mod s3;
mod settings;

pub use call_error::CallError;
pub use client_pool::ClientPool;
pub use context::AwsContext;
pub use grants::Scope;
