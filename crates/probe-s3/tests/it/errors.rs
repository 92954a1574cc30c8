//! Error responses of AWS, sent by an impostor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use probe_testkit::{RunOutcome, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::{REGION, check, connection_settings, outcome};

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

/// The content of a canary.
const CONTENT: &str = "Written by health-gateway to check that writing works. It may be removed.\n";

/// Starts a server that sends these responses in turn, repeats the last one for ever, and records the heads of the requests.
async fn sequence(answers: &[(&str, String)]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let response = |(status, body): &(&str, String)| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    };
    let responses: Vec<_> = answers.iter().map(response).collect();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let recorded = requests.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n")
                && stream.read_buf(&mut request).await.unwrap() > 0
            {}
            recorded.lock().push(String::from_utf8_lossy(&request).into_owned());
            let response = &responses[number.min(responses.len() - 1)];
            let _cut = stream.write_all(response.as_bytes()).await;
            let _unread = stream.shutdown().await;
            // An unread body of the request would reset the connection.
            let mut rest = Vec::new();
            let _cut = stream.read_to_end(&mut rest).await;
        }
    });
    (address, requests)
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
    const MOVED: &str = "301 Moved Permanently";
    const BAD: &str = "400 Bad Request";
    let header = |region| format!("x-amz-bucket-region: {region}\r\n");
    let error = |code, more| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>the message</Message>{more}<RequestId>1</RequestId></Error>"
        )
    };
    let region = "<Region>us-west-2</Region>";
    let expected =
        |reason| format!("list: the bucket is in the region `us-west-2`: set `region` ({reason})");
    let (moved, malformed) = ("PermanentRedirect", "AuthorizationHeaderMalformed");
    let here = format!(
        "list: the bucket is in the region `{REGION}`: set `endpoint_url` to an endpoint of this region (PermanentRedirect)"
    );
    for (status, headers, body, expected) in [
        (MOVED, header("us-west-2"), error(moved, ""), expected(moved)),
        (MOVED, String::new(), error(moved, region), expected(moved)),
        (BAD, String::new(), error(malformed, region), expected(malformed)),
        (BAD, header("us-west-2"), error(malformed, ""), expected(malformed)),
        (
            "307 Temporary Redirect",
            header("us-west-2"),
            error("TemporaryRedirect", ""),
            expected("TemporaryRedirect"),
        ),
        (MOVED, header("us-west-2"), String::new(), expected("status 301")),
        (BAD, header("us-west-2"), String::new(), expected("status 400")),
        (MOVED, header(REGION), error(moved, ""), here),
        (MOVED, String::new(), error(moved, ""), format!("list: {moved}: the message")),
        (MOVED, String::new(), String::new(), "list: not an AWS response: status 301".to_owned()),
        (
            "404 Not Found",
            header("us-west-2"),
            error("NoSuchBucket", ""),
            "list: there is no bucket `files`".to_owned(),
        ),
    ] {
        let address = impostor(status, &headers, &body).await;
        assert_line_at(address, &expected).await;
    }
    // The SDK streams the body of an object.
    let address = impostor(MOVED, "", &error(moved, region)).await;
    let settings = connection_settings(address);
    let lines = format!("bucket = 'files'\naccess = ['read']\nobject = 'a'\n{settings}");
    let expected =
        "read: the bucket is in the region `us-west-2`: set `region` (PermanentRedirect)";
    assert_eq!(outcome(&lines).await.line(), format!("{expected} ({address})"));
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
        "list: after 3 attempts: throttled by the server (SlowDown)",
    )
    .await;
    assert_line(
        "500 Internal Server Error",
        "",
        "InternalError",
        "We encountered an internal error. Please try again.",
        "list: after 3 attempts: InternalError: We encountered an internal error. Please try again",
    )
    .await;
    let address = impostor("503 Service Unavailable", "", "<html>no server</html>").await;
    assert_line_at(address, "list: after 3 attempts: not an AWS response: status 503").await;
}

#[tokio::test]
async fn up_to_two_errors_of_the_server_are_no_failure() {
    const EMPTY: &str = "<ListBucketResult></ListBucketResult>";
    let error = |status, code| (status, format!("<Error><Code>{code}</Code></Error>"));
    let working = || ("200 OK", EMPTY.to_owned());
    for answers in [
        vec![error("500 Internal Server Error", "InternalError"), working()],
        vec![error("503 Slow Down", "SlowDown"), working()],
        vec![error("500 x", "InternalError"), error("502 x", "InternalError"), working()],
    ] {
        let (address, _) = sequence(&answers).await;
        let lines =
            format!("bucket = 'files'\naccess = ['list']\n{}", connection_settings(address));
        outcome(&lines).await.expect_working();
    }
    let denied = error("403 Forbidden", "AccessDenied");
    let (address, requests) = sequence(&[denied, working()]).await;
    let lines = format!("bucket = 'files'\naccess = ['list']\n{}", connection_settings(address));
    assert!(!outcome(&lines).await.is_working());
    assert_eq!(requests.lock().len(), 1);
}

#[tokio::test]
async fn a_timeout_between_attempts_reports_the_last_error() {
    let error = ("503 Slow Down", "<Error><Code>SlowDown</Code></Error>".to_owned());
    let (address, _) = sequence(&[error]).await;
    let lines = format!("bucket = 'files'\naccess = ['list']\n{}", connection_settings(address));
    let expected = "list: throttled by the server (SlowDown) within 100ms (1 of 3 attempts)";
    // The pause is random: a run may also be cut in the attempt that follows.
    for _ in 0..20 {
        if let RunOutcome::TimedOut { line, .. } =
            run(&check(&lines), Duration::from_millis(100)).await
            && line.starts_with(expected)
        {
            return;
        }
    }
    panic!("no run was cut in the pause");
}

#[tokio::test]
async fn the_reason_of_a_denial_is_reported() {
    assert_line(
        "403 Forbidden",
        "",
        "AccessDenied",
        "User: arn:aws:iam::1:user/me is not authorized to perform: s3:ListBucket on resource: x with an explicit deny in a resource-based policy",
        "list: access denied, `s3:ListBucket` on the bucket `files`: explicit deny in a resource-based policy",
    )
    .await;
}

#[tokio::test]
async fn all_requests_have_the_configured_headers() {
    let answers = [
        ("200 OK", "<ListBucketResult></ListBucketResult>".to_owned()),
        ("200 OK", "<ListBucketResult></ListBucketResult>".to_owned()),
        ("200 OK", String::new()),
        ("200 OK", CONTENT.to_owned()),
        ("204 No Content", String::new()),
    ];
    let (address, requests) = sequence(&answers).await;
    let settings = "server_side_encryption = 'aws:kms'\nssekms_key_id = 'a-key'\nrequest_payer = 'requester'\nexpected_bucket_owner = '111122223333'";
    let lines = format!(
        "bucket = 'files'\naccess = ['list', 'read', 'write', 'delete']\n{settings}\n{}",
        connection_settings(address)
    );
    outcome(&lines).await.expect_working();
    let requests = requests.lock();
    assert_eq!(requests.len(), answers.len());
    for request in requests.iter() {
        for header in
            ["x-amz-request-payer: requester", "x-amz-expected-bucket-owner: 111122223333"]
        {
            assert!(request.contains(header), "{request}");
        }
        let is_write = request.starts_with("PUT ");
        for header in [
            "x-amz-server-side-encryption: aws:kms\r",
            "x-amz-server-side-encryption-aws-kms-key-id: a-key",
        ] {
            assert_eq!(request.contains(header), is_write, "{request}");
        }
    }
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
