//! The headers of checksums, which some servers other than AWS reject.

use stack::localstack::{APP_BUCKET, Localstack};

use crate::proxy::{Action, Proxy};
use crate::{connection_settings, outcome};

/// The names of the headers of checksums that the requests of a check with these settings have.
async fn headers(server: &Localstack, more: &str) -> Vec<String> {
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into(), |_| Action::Pass).await;
    let access = "access = ['list', 'read', 'write', 'delete']";
    let settings = connection_settings(proxy.address);
    let lines = format!("bucket = '{APP_BUCKET}'\n{access}\n{more}\n{settings}");
    outcome(&lines).await.expect_working();
    assert_eq!(proxy.count("PUT "), 1);
    let heads = proxy.heads();
    let names = heads.iter().flat_map(|head| head.lines()).filter_map(|line| line.split_once(':'));
    let mut names: Vec<_> = names.map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.retain(|name| name.contains("checksum") || name.contains("trailer"));
    names.sort();
    names
}

#[tokio::test]
async fn another_server_gets_checksums_only_if_they_are_configured() {
    let server = Localstack::start().unwrap();
    assert_eq!(headers(&server, "").await, [""; 0]);
    let request = "request_checksum_calculation = 'when_supported'";
    assert_eq!(
        headers(&server, request).await,
        ["x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm"]
    );
    let response = "response_checksum_validation = 'when_supported'";
    assert_eq!(headers(&server, response).await, ["x-amz-checksum-mode"]);
}
