//! The error of a call, and a failure wrapped as an error for the SDK.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use probe::step::AUTHENTICATE;
use probe::{Cause, Failure};

use crate::error_response::ErrorResponse;
use crate::retry::RetryableError;

/// A failed call: a [`Failure`], and the service's error code for callers that handle it themselves.
#[derive(Debug)]
pub struct CallError {
    code: Option<String>,
    failure: Failure,
    retryable: Option<RetryableError>,
}

impl CallError {
    /// The service's error code, such as `NoSuchBucket`; empty if there is no response, or one without a code.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }

    /// Whether the service rejected the credentials.
    pub(crate) fn is_authentication(&self) -> bool {
        self.failure.step() == AUTHENTICATE && self.code.is_some()
    }

    /// Why the call may succeed if it is repeated.
    pub(crate) fn retryable(&self) -> Option<RetryableError> {
        self.retryable
    }

    /// The text of the cause.
    pub(crate) fn cause(&self) -> &str {
        self.failure.cause().text()
    }

    /// The same error with another failure.
    pub(crate) fn map_failure(self, map: impl FnOnce(Failure) -> Failure) -> Self {
        Self { failure: map(self.failure), ..self }
    }

    /// Converts the SDK's error of a call that is made to `region` in `step` and needs `permission`.
    pub(crate) fn from_sdk<E>(
        step: &'static str,
        region: &str,
        permission: &str,
        error: SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let Some(failure) = find_failure(&error) {
            return Self { code: None, failure: failure.clone(), retryable: None };
        }
        let Some(response) = error.raw_response().map(ErrorResponse::new) else {
            let failure = Failure::new(step, Cause::from(error));
            return Self { code: None, failure, retryable: None };
        };
        let service = error.as_service_error();
        let code = service.and_then(|service| service.code()).map(ToOwned::to_owned);
        let message = service.and_then(|service| service.message()).unwrap_or_default();
        let failure = response.failure(step, region, permission, code.as_deref(), message);
        let retryable =
            RetryableError::from_response(response.status, code.as_deref().unwrap_or_default());
        Self { code, failure, retryable }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        error.failure
    }
}

/// A failure that passes through the SDK as an error.
#[derive(Debug)]
pub(crate) struct FailureError(pub(crate) Failure);

impl fmt::Display for FailureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.cause().text())
    }
}

impl Error for FailureError {}

/// Finds the failure in the source chain of `error`.
fn find_failure<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Failure> {
    match error.downcast_ref::<FailureError>() {
        Some(FailureError(failure)) => Some(failure),
        None => error.source().and_then(find_failure),
    }
}
