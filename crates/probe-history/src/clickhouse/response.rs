//! Parses responses of `ClickHouse`, in the formats of all versions since 2018.

use bytes::Bytes;
use http::Response;
use probe::step::AUTHENTICATE;
use probe::{Cause, Failure};

/// The codes for an unknown user, a wrong password and a missing password, and the one that replaces all three in newer versions.
const AUTHENTICATION_CODES: &[u32] = &[192, 193, 194, 516];

/// The codes for an unknown column and an unknown table.
const UNKNOWN_NAME_CODES: &[u32] = &[47, 60];

/// The row of the response, if it has one.
pub(crate) fn row(
    step: &'static str,
    response: &Response<Bytes>,
) -> Result<Option<String>, Failure> {
    let (status, body) = (response.status(), String::from_utf8_lossy(response.body()));
    // The server may report an exception after it has sent the status.
    if let Some(exception) = Exception::in_body(&body) {
        let cause = Cause::msg(format!("{}{}", exception.message, suffix(exception.code)));
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

/// How the cause ends if it is an exception of the server.
fn suffix(code: u32) -> String {
    format!(" (code {code})")
}

/// Whether the server does not know a table or a column of a query, as opposed to one that the user may not read.
pub(super) fn is_unknown_name(failure: &Failure) -> bool {
    let text = failure.cause().text();
    UNKNOWN_NAME_CODES.iter().any(|code| text.ends_with(&suffix(*code)))
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
    fn an_unknown_name_and_a_missing_grant_are_distinguished() {
        let is_unknown = |exception: &'static str| {
            let response =
                Response::builder().status(500).body(Bytes::from_static(exception.as_bytes()));
            let failure = row("query", &response.expect("a response")).expect_err("an exception");
            is_unknown_name(&failure)
        };
        for exception in [
            "Code: 60, e.displayText() = DB::Exception: Table system.disks doesn't exist., e.what() = DB::Exception",
            "Code: 47, e.displayText() = DB::Exception: Unknown identifier: storage_policy, e.what() = DB::Exception",
        ] {
            assert!(is_unknown(exception), "{exception}");
        }
        for exception in [
            "Code: 497. DB::Exception: health: Not enough privileges. To execute this query, it's necessary to have the grant SELECT(name, free_space) ON system.disks. (ACCESS_DENIED) (version 24.8.4.13 (official build))",
            "Code: 291, e.displayText() = DB::Exception: Access denied to database system, e.what() = DB::Exception",
        ] {
            assert!(!is_unknown(exception), "{exception}");
        }
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
