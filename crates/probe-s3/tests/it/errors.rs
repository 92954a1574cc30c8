//! Error responses of AWS, sent by an impostor.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{connection_settings, outcome};

/// A server that sends this response to every request.
async fn impostor(status: &str, headers: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let length = body.len();
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The requests of these tests have no body.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n")
                && stream.read_buf(&mut request).await.unwrap() > 0
            {}
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    });
    address
}

/// Asserts the check's line after this S3 error in the response to `list`.
async fn assert_line(status: &str, headers: &str, code: &str, message: &str, expected: &str) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
    );
    let address = impostor(status, headers, &body).await;
    assert_line_at(address, expected).await;
}

async fn assert_line_at(address: SocketAddr, expected: &str) {
    let lines = format!("bucket = 'files'\naccess = ['list']\n{}", connection_settings(address));
    assert_eq!(outcome(&lines).await.line(), format!("{expected} ({address})"));
}

#[tokio::test]
async fn a_clock_skew_is_reported_with_its_size() {
    let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message></Error>";
    let date = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let address = impostor("403 Forbidden", date, body).await;
    let lines = format!("bucket = 'files'\naccess = ['list']\n{}", connection_settings(address));
    let outcome = outcome(&lines).await;
    let line = outcome.line();
    assert!(
        line.starts_with("authenticate: our clock is ")
            && line.contains(" ahead of the server's (RequestTimeTooSkewed)"),
        "{line}"
    );
}

#[tokio::test]
async fn a_wrong_region_is_reported_with_the_expected_one() {
    assert_line(
        "301 Moved Permanently",
        "x-amz-bucket-region: us-west-2\r\n",
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint.",
        "list: wrong region, expected `us-west-2` (PermanentRedirect)",
    )
    .await;
    assert_line(
        "400 Bad Request",
        "",
        "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region 'eu-central-1' is wrong; expecting 'us-east-1'",
        "list: wrong region, expected `us-east-1` (AuthorizationHeaderMalformed)",
    )
    .await;
}

#[tokio::test]
async fn bad_credentials_and_a_missing_permission_are_distinguished() {
    for (code, expected) in [
        ("InvalidAccessKeyId", "authenticate: the access key is not known (InvalidAccessKeyId)"),
        (
            "SignatureDoesNotMatch",
            "authenticate: the secret access key is wrong (SignatureDoesNotMatch)",
        ),
        ("ExpiredToken", "authenticate: the session token has expired (ExpiredToken)"),
        (
            "AccessDenied",
            "list: access denied, the permission `s3:ListBucket` on the bucket `files` is missing",
        ),
    ] {
        assert_line("403 Forbidden", "", code, "", expected).await;
    }
}

#[tokio::test]
async fn throttling_and_internal_errors_are_reported() {
    assert_line(
        "503 Slow Down",
        "",
        "SlowDown",
        "Please reduce your request rate.",
        "list: throttled by the server (SlowDown)",
    )
    .await;
    assert_line(
        "500 Internal Server Error",
        "",
        "InternalError",
        "We encountered an internal error. Please try again.",
        "list: InternalError: We encountered an internal error. Please try again",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_s3_is_not_working() {
    for (status, expected) in [
        ("404 Not Found", "list: not an AWS response: status 404"),
        ("200 OK", "list: not an AWS response: status 200"),
    ] {
        let address = impostor(status, "Content-Type: text/html\r\n", "<html>hello</html>").await;
        assert_line_at(address, expected).await;
    }
}
