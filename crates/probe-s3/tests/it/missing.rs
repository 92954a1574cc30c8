//! Missing buckets and objects, and a server that refuses connections.

use std::net::TcpListener;

use serde_json::json;
use stack::aws::Aws;
use stack::localstack::{APP_BUCKET, shared};

use crate::{connection_settings, outcome};

#[tokio::test]
async fn a_missing_bucket_is_reported_by_each_kind_of_access() {
    let connection = connection_settings(shared().unwrap());
    for (access, step) in [
        ("'list', 'read', 'write', 'delete'", "list"),
        ("'write'", "write"),
        ("'delete'", "delete"),
        ("'read', 'list'", "list"),
    ] {
        let lines = format!("bucket = 'no-such-bucket'\naccess = [{access}]\n{connection}");
        assert_eq!(
            outcome(&lines).await.line(),
            format!("{step}: there is no bucket `no-such-bucket` ({})", shared().unwrap())
        );
    }
    let lines = format!("bucket = '{APP_BUCKET}'\naccess = ['list']\n{connection}");
    outcome(&lines).await.expect_working();
}

#[tokio::test]
async fn a_missing_object_is_reported_and_an_empty_one_is_read() {
    let server = shared().unwrap();
    let object = |key: &str| {
        let connection = connection_settings(server);
        format!("bucket = '{APP_BUCKET}'\naccess = ['read']\nobject = '{key}'\n{connection}")
    };
    assert_eq!(
        outcome(&object("no/such.txt")).await.line(),
        format!("read: there is no object `no/such.txt` in the bucket `{APP_BUCKET}` ({server})")
    );
    let aws = Aws::at(server);
    let empty = json!({"Bucket": APP_BUCKET, "Key": "tests/an empty ünit&?.txt", "Body": ""});
    aws.call("s3", "put_object", &empty).unwrap();
    outcome(&object("tests/an empty ünit&?.txt")).await.expect_working();
    let empty = json!({"Bucket": APP_BUCKET, "Key": "tests/an empty ünit&?.txt"});
    aws.call("s3", "delete_object", &empty).unwrap();
}

#[tokio::test]
async fn a_closed_port_is_a_refused_connection() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lines = format!("bucket = 'files'\naccess = ['list']\n{}", connection_settings(address));
    assert_eq!(outcome(&lines).await.line(), format!("connect: connection refused ({address})"));
}
