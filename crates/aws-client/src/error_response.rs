//! Describes error responses of AWS services for operators.

use std::time::SystemTime;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use probe::step::AUTHENTICATE;
use probe::{Cause, Failure};

use crate::clock_skew;
use crate::error_codes::{ACCESS_DENIED, BAD_CREDENTIALS, CLOCK_SKEW, THROTTLED, WRONG_REGION};

/// What precedes the action in a message about a missing permission.
const NOT_AUTHORIZED: &str = "not authorized to perform: ";

/// The parts of an error response besides its code and message.
pub(crate) struct ErrorResponse {
    pub(crate) status: u16,
    region: Option<String>,
    clock_skew: Option<String>,
}

impl ErrorResponse {
    pub(crate) fn new(response: &HttpResponse) -> Self {
        let header = |name| response.headers().get(name);
        let body = response.body().bytes().and_then(|body| str::from_utf8(body).ok());
        let region = header("x-amz-bucket-region").or_else(|| region_element(body?));
        Self {
            status: response.status().as_u16(),
            region: region.map(ToOwned::to_owned),
            clock_skew: clock_skew::describe(SystemTime::now(), header("date")),
        }
    }

    /// The failure of a call that is made to `region` in `step` and needs `permission`. Without a body, there is no `code`.
    pub(crate) fn failure(
        &self,
        step: &'static str,
        region: &str,
        permission: &str,
        code: Option<&str>,
        message: &str,
    ) -> Failure {
        let status = self.status;
        let Some(code) = code else {
            let text = match self.wrong_region(region, &format!("status {status}")) {
                Some(text) if matches!(status, 301 | 302 | 307 | 400) => text,
                _ => format!("not an AWS response: status {status}"),
            };
            return Failure::msg(step, text);
        };
        let bad_credentials = BAD_CREDENTIALS.iter().find(|(known, _)| *known == code);
        // Some services report a wrong clock as a wrong signature.
        if CLOCK_SKEW.contains(&code) || (bad_credentials.is_some() && self.clock_skew.is_some()) {
            let skew =
                self.clock_skew.as_deref().unwrap_or("our clock and the server's differ too much");
            return Failure::msg(AUTHENTICATE, format!("{skew} ({code})"));
        }
        if let Some((_, text)) = bad_credentials {
            let cause = Cause::msg(format!("{text} ({code})"));
            return Failure::new(AUTHENTICATE, cause.login_refused());
        }
        let text = if ACCESS_DENIED.contains(&code) {
            access_denied(permission, message)
        } else if THROTTLED.contains(&code) {
            format!("throttled by the server ({code})")
        } else if let Some(text) =
            self.wrong_region(region, code).filter(|_| WRONG_REGION.contains(&code))
        {
            text
        } else if message.is_empty() {
            format!("{code} (status {status})")
        } else {
            format!("{code}: {message}")
        };
        Failure::msg(step, text)
    }

    /// The text about a call that was made to `region`, if the service names the region of the bucket.
    fn wrong_region(&self, region: &str, reason: &str) -> Option<String> {
        let actual = self.region.as_deref()?;
        let right = if actual == region {
            "`endpoint_url` to an endpoint of this region"
        } else {
            "`region`"
        };
        Some(format!("the bucket is in the region `{actual}`: set {right} ({reason})"))
    }
}

/// Names the permission, and keeps what the service says about the reason.
fn access_denied(permission: &str, message: &str) -> String {
    if !matches!(message.trim_end_matches('.'), "" | "Access Denied" | "Forbidden")
        && !message.contains(NOT_AUTHORIZED)
    {
        return format!("access denied, {permission}: {message}");
    }
    let denied = denied_action(message).map(|action| format!("`{action}`"));
    // If the actions are equal, `permission` is more specific: it includes the resource.
    let denied = denied.filter(|action| !permission.starts_with(action));
    let permission = denied.as_deref().unwrap_or(permission);
    if let Some((_, deny)) = message.split_once(" with an explicit deny") {
        return format!("access denied, {permission}: explicit deny{deny}");
    }
    let missing = format!("access denied, the permission {permission} is missing");
    match message.split_once(" because ") {
        Some((_, reason)) => format!("{missing}: {reason}"),
        None => missing,
    }
}

/// The action in `User: ... is not authorized to perform: kms:Decrypt on resource: ...`, which may differ from the call's own.
fn denied_action(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once(NOT_AUTHORIZED)?;
    rest.split_whitespace().next().map(|word| word.trim_end_matches([',', '.']))
}

/// The element of an error's body with the region of the bucket.
fn region_element(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Region>")?;
    rest.split_once("</Region>").map(|(region, _)| region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(response: &ErrorResponse, code: &str, message: &str, expected: &str) {
        assert_eq!(
            response
                .failure("list", "r", "`s3:ListBucket` on a bucket", Some(code), message)
                .render(""),
            expected
        );
    }

    fn response() -> ErrorResponse {
        ErrorResponse { status: 403, region: None, clock_skew: None }
    }

    #[test]
    fn bad_credentials_fail_in_the_authenticate_step() {
        check(
            &response(),
            "SignatureDoesNotMatch",
            "",
            "authenticate: the secret access key is wrong (SignatureDoesNotMatch)",
        );
    }

    #[test]
    fn a_clock_skew_is_reported_for_any_code_that_it_causes() {
        let clock_skew = Some("our clock is 1 h 0 min ahead of the server's".to_owned());
        let response = ErrorResponse { clock_skew, ..response() };
        for code in ["RequestTimeTooSkewed", "InvalidSignatureException"] {
            let expected =
                format!("authenticate: our clock is 1 h 0 min ahead of the server's ({code})");
            check(&response, code, "", &expected);
        }
    }

    #[test]
    fn a_missing_permission_is_named_by_the_message_if_it_has_one() {
        check(
            &response(),
            "AccessDenied",
            "Access Denied",
            "list: access denied, the permission `s3:ListBucket` on a bucket is missing",
        );
        check(
            &response(),
            "AccessDenied",
            "User: arn:aws:iam::1:user/me is not authorized to perform: s3:ListBucket on resource: x",
            "list: access denied, the permission `s3:ListBucket` on a bucket is missing",
        );
        check(
            &response(),
            "AccessDenied",
            "User: arn:aws:iam::1:user/me is not authorized to perform: kms:Decrypt on resource: x",
            "list: access denied, the permission `kms:Decrypt` is missing",
        );
    }

    #[test]
    fn the_reason_of_a_denial_stays_in_the_line() {
        const USER: &str = "User: arn:aws:iam::1:user/me is not authorized to perform:";
        for (reason, expected) in [
            (
                "s3:ListBucket on resource: \"arn:aws:s3:::files\" with an explicit deny in a resource-based policy",
                "`s3:ListBucket` on a bucket: explicit deny in a resource-based policy",
            ),
            (
                "kms:Decrypt on resource: x with an explicit deny in a service control policy",
                "`kms:Decrypt`: explicit deny in a service control policy",
            ),
            (
                "s3:ListBucket on resource: x because no identity-based policy allows the s3:ListBucket action",
                "the permission `s3:ListBucket` on a bucket is missing: no identity-based policy allows the s3:ListBucket action",
            ),
        ] {
            let expected = format!("list: access denied, {expected}");
            check(&response(), "AccessDenied", &format!("{USER} {reason}"), &expected);
        }
        check(
            &response(),
            "AllAccessDisabled",
            "All access to this object has been disabled",
            "list: access denied, `s3:ListBucket` on a bucket: All access to this object has been disabled",
        );
    }

    #[test]
    fn an_unknown_code_is_reported_with_its_message() {
        check(&response(), "InternalError", "Try again.", "list: InternalError: Try again");
        check(&response(), "InternalError", "", "list: InternalError (status 403)");
    }
}
