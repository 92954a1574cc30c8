//! Parses responses of `ClickHouse`, in the formats of all versions since 2018.

use bytes::Bytes;
use http::Response;
use probe::step::AUTHENTICATE;
use probe::{Cause, Failure};

/// The codes for an unknown user, a wrong password and a missing password, and the one that replaces all three in newer versions.
const AUTHENTICATION_CODES: &[u32] = &[192, 193, 194, 516];

/// The row of the response, if it has one.
pub(crate) fn row(
    step: &'static str,
    response: &Response<Bytes>,
) -> Result<Option<String>, Failure> {
    let (status, body) = (response.status(), String::from_utf8_lossy(response.body()));
    // The server may report an exception after it has sent the status.
    if let Some(exception) = Exception::in_body(&body) {
        let cause = Cause::msg(format!("{} (code {})", exception.message, exception.code));
        return Err(if AUTHENTICATION_CODES.contains(&exception.code) {
            Failure::new(AUTHENTICATE, cause.login_refused())
        } else {
            Failure::new(step, cause)
        });
    }
    match (status.as_u16(), body.trim_end_matches('\n')) {
        (200, "") => Ok(None),
        (200, row) if !row.contains('\n') && !row.starts_with('<') => Ok(Some(row.to_owned())),
        (status @ 300..400, _) => Err(Failure::msg(
            step,
            format!("answered with a redirect ({status}), which is not followed"),
        )),
        (status, _) => Err(not_clickhouse(step, status)),
    }
}

/// The failure for the answer of another server.
pub(super) fn not_clickhouse(step: &'static str, status: u16) -> Failure {
    Failure::msg(step, format!("not a ClickHouse response: status {status}"))
}

/// An exception of `ClickHouse`: `Code: 60, e.displayText() = DB::Exception: Table a.b doesn't exist., e.what() = DB::Exception`,
/// or `Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE) (version 24.8.1.1 (official build))`.
struct Exception<'a> {
    code: u32,
    message: &'a str,
}

impl<'a> Exception<'a> {
    fn in_body(body: &'a str) -> Option<Self> {
        let line = body.lines().find(|line| line.starts_with("Code: "))?;
        let rest = line.strip_prefix("Code: ")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let code = rest[..digits].parse().ok()?;
        let message = rest[digits..].trim_start_matches([',', '.', ' ']);
        let message = message.strip_prefix("e.displayText() = ").unwrap_or(message);
        let message = message.strip_prefix("DB::Exception: ").unwrap_or(message);
        let end = message.find(", e.what() = ").or_else(|| message.find(" (version "));
        let message = &message[..end.unwrap_or(message.len())];
        Some(Self { code, message: message.trim_end_matches(['.', ' ']) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(status: u16, body: &'static str) -> Result<Option<String>, String> {
        let response = Response::builder().status(status).body(Bytes::from_static(body.as_bytes()));
        row("query", &response.expect("a response")).map_err(|failure| failure.render(""))
    }

    fn check(status: u16, body: &'static str, expected: &str) {
        assert_eq!(result(status, body), Err(expected.to_owned()));
    }

    #[test]
    fn a_row_and_no_row_are_distinguished() {
        assert_eq!(result(200, "1\n"), Ok(Some("1".to_owned())));
        assert_eq!(result(200, ""), Ok(None));
    }

    #[test]
    fn an_exception_is_reported_with_its_message_and_code() {
        check(
            404,
            "Code: 60, e.displayText() = DB::Exception: Table history.events doesn't exist., e.what() = DB::Exception\n",
            "query: Table history.events doesn't exist (code 60)",
        );
        check(
            404,
            "Code: 60. DB::Exception: Table history.events does not exist. (UNKNOWN_TABLE) (version 24.8.4.13 (official build))\n",
            "query: Table history.events does not exist. (UNKNOWN_TABLE) (code 60)",
        );
        check(
            200,
            "1\nCode: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED) (version 24.8.4.13)\nmore",
            "query: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED) (code 241)",
        );
    }

    #[test]
    fn wrong_credentials_fail_in_the_authenticate_step() {
        check(
            500,
            "Code: 193, e.displayText() = DB::Exception: Wrong password for user health, e.what() = DB::Exception",
            "authenticate: Wrong password for user health (code 193)",
        );
        check(
            403,
            "Code: 516. DB::Exception: health: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED) (version 24.8.4.13 (official build))",
            "authenticate: health: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED) (code 516)",
        );
    }

    #[test]
    fn a_response_of_another_server_is_not_quoted() {
        check(200, "<html>hello</html>", "query: not a ClickHouse response: status 200");
        check(502, "Code: none", "query: not a ClickHouse response: status 502");
        check(307, "", "query: answered with a redirect (307), which is not followed");
    }
}
