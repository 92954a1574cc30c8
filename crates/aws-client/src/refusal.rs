//! What AWS refuses, in the words of somebody on call.

use std::error::Error;
use std::time::SystemTime;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use probe::{Cause, Failure};

use crate::clock;
use crate::codes::{AUTHENTICATE, BAD_CREDENTIALS, DENIED, SKEWED, THROTTLED, WRONG_REGION};
use crate::run::told;

/// Why a call came to nothing: a [`Failure`] with words of its own, and the service's code for whoever knows better ones.
#[derive(Debug)]
pub struct Refusal {
    code: Option<String>,
    failure: Failure,
}

impl Refusal {
    /// The service's error code, such as `NoSuchBucket`; empty if the service did not answer, or not in its own form.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or_default()
    }

    /// The failure as the check returns it.
    pub fn into_failure(self) -> Failure {
        self.failure
    }

    /// Whether the credentials are refused.
    pub(crate) fn is_of_credentials(&self) -> bool {
        self.failure.step() == AUTHENTICATE && self.code.is_some()
    }

    /// What `error` means for the call that is `step`, which needs `permission`.
    pub(crate) fn of<E>(
        step: &'static str,
        permission: &str,
        error: SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let Some(failure) = told(&error) {
            return Self { code: None, failure: failure.clone() };
        }
        let Some(answer) = error.raw_response().map(Answer::of) else {
            return Self { code: None, failure: Failure::new(step, Cause::from(error)) };
        };
        let service = error.as_service_error();
        let code = service.and_then(|service| service.code()).map(ToOwned::to_owned);
        let message = service.and_then(|service| service.message()).unwrap_or_default();
        let failure = match &code {
            Some(code) => answer.failure(step, permission, code, message),
            None => Failure::msg(
                step,
                format!("the server's answer is none of AWS: status {}", answer.status),
            ),
        };
        Self { code, failure }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        refusal.failure
    }
}

/// What of the answer matters besides its code and message.
struct Answer {
    status: u16,
    region: Option<String>,
    clock: Option<String>,
}

impl Answer {
    fn of(answer: &HttpResponse) -> Self {
        let header = |name| answer.headers().get(name);
        Self {
            status: answer.status().as_u16(),
            region: header("x-amz-bucket-region").map(ToOwned::to_owned),
            clock: clock::difference(SystemTime::now(), header("date")),
        }
    }

    fn failure(&self, step: &'static str, permission: &str, code: &str, message: &str) -> Failure {
        let bad = BAD_CREDENTIALS.iter().find(|(known, _)| *known == code);
        // Some services find a wrong time only in the signature.
        if SKEWED.contains(&code) || (bad.is_some() && self.clock.is_some()) {
            let clock =
                self.clock.as_deref().unwrap_or("our clock and the server's differ too much");
            return Failure::msg(AUTHENTICATE, format!("{clock} ({code})"));
        }
        if let Some((_, words)) = bad {
            return Failure::msg(AUTHENTICATE, format!("{words} ({code})"));
        }
        let text = if DENIED.contains(&code) {
            let named = named_permission(message).map(|name| format!("`{name}`"));
            // Ours says what it is needed for.
            let named = named.filter(|named| !permission.starts_with(named));
            let permission = named.as_deref().unwrap_or(permission);
            format!("access denied, the permission {permission} is missing")
        } else if THROTTLED.contains(&code) {
            format!("the server is asked too much and refuses for now ({code})")
        } else if WRONG_REGION.contains(&code) {
            match self.region.as_deref().or_else(|| named_region(message)) {
                Some(region) => format!("wrong region, expected `{region}` ({code})"),
                None => format!("wrong region or endpoint ({code})"),
            }
        } else {
            match message {
                "" => format!("{code} (status {})", self.status),
                message => format!("{code}: {message}"),
            }
        };
        Failure::msg(step, text)
    }
}

/// The permission in `User: ... is not authorized to perform: kms:Decrypt on resource: ...`: it may be another than the call's own.
fn named_permission(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    rest.split_whitespace().next().map(|word| word.trim_end_matches([',', '.']))
}

/// The region in `...; the region 'us-east-1' is wrong; expecting 'eu-west-1'`.
fn named_region(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("expecting '")?;
    rest.split_once('\'').map(|(region, _)| region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &Answer, code: &str, message: &str, expected: &str) {
        assert_eq!(
            answer.failure("list", "`s3:ListBucket` on a bucket", code, message).render(""),
            expected
        );
    }

    fn answer() -> Answer {
        Answer { status: 403, region: None, clock: None }
    }

    #[test]
    fn refused_credentials_are_a_failed_authentication() {
        check(
            &answer(),
            "SignatureDoesNotMatch",
            "",
            "authenticate: the secret access key is wrong (SignatureDoesNotMatch)",
        );
    }

    #[test]
    fn a_wrong_clock_is_named_whichever_way_it_was_found() {
        let clock = Some("our clock is 1 h 0 min ahead of the server's".to_owned());
        let answer = Answer { clock, ..answer() };
        for code in ["RequestTimeTooSkewed", "InvalidSignatureException"] {
            let expected =
                format!("authenticate: our clock is 1 h 0 min ahead of the server's ({code})");
            check(&answer, code, "", &expected);
        }
    }

    #[test]
    fn a_missing_permission_is_named_as_the_server_names_it_if_it_does() {
        check(
            &answer(),
            "AccessDenied",
            "Access Denied",
            "list: access denied, the permission `s3:ListBucket` on a bucket is missing",
        );
        check(
            &answer(),
            "AccessDenied",
            "User: arn:aws:iam::1:user/me is not authorized to perform: s3:ListBucket on resource: x",
            "list: access denied, the permission `s3:ListBucket` on a bucket is missing",
        );
        check(
            &answer(),
            "AccessDenied",
            "User: arn:aws:iam::1:user/me is not authorized to perform: kms:Decrypt on resource: x",
            "list: access denied, the permission `kms:Decrypt` is missing",
        );
    }

    #[test]
    fn the_right_region_is_named() {
        let header = Answer { region: Some("eu-west-1".to_owned()), ..answer() };
        check(
            &header,
            "PermanentRedirect",
            "",
            "list: wrong region, expected `eu-west-1` (PermanentRedirect)",
        );
        let message = "the region 'us-east-1' is wrong; expecting 'eu-west-3'";
        check(
            &answer(),
            "AuthorizationHeaderMalformed",
            message,
            "list: wrong region, expected `eu-west-3` (AuthorizationHeaderMalformed)",
        );
    }

    #[test]
    fn what_has_no_words_of_ours_is_told_in_those_of_the_service() {
        check(&answer(), "InternalError", "Try again.", "list: InternalError: Try again");
        check(&answer(), "InternalError", "", "list: InternalError (status 403)");
    }
}
