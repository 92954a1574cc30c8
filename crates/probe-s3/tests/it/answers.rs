//! What AWS answers when something is wrong, given by an impostor in AWS's words.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{outcome, place};

/// A server that answers every request with this, for as long as the test runs.
async fn impostor(status: &str, headers: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The requests of these tests have no body.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n")
                && stream.read_buf(&mut request).await.unwrap() > 0
            {}
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

/// What the check says when `list` is answered with an error of S3.
async fn check_says(status: &str, headers: &str, code: &str, message: &str, expected: &str) {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
    );
    let address = impostor(status, headers, &body).await;
    check_line(address, expected).await;
}

async fn check_line(address: SocketAddr, expected: &str) {
    let lines = format!("bucket = 'files'\naccess = ['list']\n{}", place(address));
    assert_eq!(outcome(&lines).await.line(), format!("{expected} ({address})"));
}

#[tokio::test]
async fn a_wrong_clock_is_told_with_the_difference() {
    let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is too large.</Message></Error>";
    let date = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let address = impostor("403 Forbidden", date, body).await;
    let lines = format!("bucket = 'files'\naccess = ['list']\n{}", place(address));
    let outcome = outcome(&lines).await;
    let line = outcome.line();
    assert!(
        line.starts_with("authenticate: our clock is ")
            && line.contains(" ahead of the server's (RequestTimeTooSkewed)"),
        "{line}"
    );
}

#[tokio::test]
async fn a_bucket_of_another_region_names_it() {
    check_says(
        "301 Moved Permanently",
        "x-amz-bucket-region: us-west-2\r\n",
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint.",
        "list: wrong region, expected `us-west-2` (PermanentRedirect)",
    )
    .await;
    check_says(
        "400 Bad Request",
        "",
        "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region 'eu-central-1' is wrong; expecting 'us-east-1'",
        "list: wrong region, expected `us-east-1` (AuthorizationHeaderMalformed)",
    )
    .await;
}

#[tokio::test]
async fn refused_credentials_are_told_from_a_missing_permission() {
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
        check_says("403 Forbidden", "", code, "", expected).await;
    }
}

#[tokio::test]
async fn a_server_that_is_asked_too_much_says_so() {
    check_says(
        "503 Slow Down",
        "",
        "SlowDown",
        "Please reduce your request rate.",
        "list: the server is asked too much and refuses for now (SlowDown)",
    )
    .await;
    check_says(
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
        ("404 Not Found", "list: the server's answer is none of AWS: status 404"),
        ("200 OK", "list: the server's answer is none of AWS: status 200"),
    ] {
        let address = impostor(status, "Content-Type: text/html\r\n", "<html>hello</html>").await;
        check_line(address, expected).await;
    }
}
