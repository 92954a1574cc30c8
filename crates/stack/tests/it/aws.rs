//! Tests of localstack and moto: their content, their errors, and the ways to break them.

use std::io::{self, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use stack::aws::Aws;
use stack::edge::{CONTENT, Edge, OBJECT};
use stack::localstack::{
    APP_BUCKET, BUS, CONNECTION, DESTINATION, HISTORY_BUCKET, Localstack, RULE,
};
use stack::moto::{ALTERNATE_DOMAIN, Moto};

#[test]
fn localstack_has_two_buckets_and_ends_when_it_is_dropped() {
    let localstack = Localstack::start().unwrap();
    let key = json!({"Bucket": APP_BUCKET, "Key": "a/b", "Body": "text"});
    localstack.aws.call("s3", "put_object", &key).unwrap();
    assert_eq!(localstack.objects(APP_BUCKET).unwrap(), ["a/b"]);
    assert!(localstack.objects(HISTORY_BUCKET).unwrap().is_empty());
    let port = localstack.port();
    drop(localstack);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn each_link_of_the_bus_can_be_broken() {
    let localstack = Localstack::start().unwrap();
    let bus = localstack.bus(1).unwrap();
    let rule = |operation| {
        let rule = json!({"Name": RULE, "EventBusName": BUS});
        bus.call(operation, &rule).unwrap()
    };
    let destination =
        || bus.call("describe_api_destination", &json!({"Name": DESTINATION})).unwrap();
    let connection = || bus.call("describe_connection", &json!({"Name": CONNECTION})).unwrap();
    let targets = || {
        let targets = json!({"Rule": RULE, "EventBusName": BUS});
        bus.call("list_targets_by_rule", &targets).unwrap()["Targets"].clone()
    };
    assert_eq!(rule("describe_rule")["State"], "ENABLED");
    assert_eq!(targets()[0]["Arn"], destination()["ApiDestinationArn"]);
    assert_eq!(destination()["ApiDestinationState"], "ACTIVE");
    assert_eq!(destination()["ConnectionArn"], connection()["ConnectionArn"]);
    assert_eq!(connection()["ConnectionState"], "AUTHORIZED");

    bus.target_another_destination().unwrap();
    assert_ne!(targets()[0]["Arn"], destination()["ApiDestinationArn"]);
    bus.remove_target().unwrap();
    assert_eq!(targets(), json!([]));
    bus.disable_rule().unwrap();
    assert_eq!(rule("describe_rule")["State"], "DISABLED");
    bus.bind_to_another_connection().unwrap();
    assert_ne!(destination()["ConnectionArn"], connection()["ConnectionArn"]);
    bus.leave_connection_authorizing().unwrap();
    assert_eq!(connection()["ConnectionState"], "AUTHORIZING");
    assert_eq!(destination()["ConnectionArn"], connection()["ConnectionArn"]);
    assert_eq!(destination()["ApiDestinationState"], "INACTIVE");
}

#[test]
fn a_server_that_checks_credentials_returns_the_error_code_of_aws() {
    let (moto, keys) =
        Moto::start_enforcing_permissions(&["s3:GetObject", "s3:PutObject"]).unwrap();
    let address = ([127, 0, 0, 1], moto.port()).into();
    let put = json!({"Bucket": APP_BUCKET, "Key": "a", "Body": "text"});
    let get = json!({"Bucket": APP_BUCKET, "Key": "a"});
    let bus = json!({"Name": BUS});
    let distribution = json!({"Id": moto.distribution().unwrap().id});
    let error = |aws: &Aws, service: &str, operation: &str, parameters: &Value| {
        aws.call(service, operation, parameters).unwrap_err().to_string()
    };

    let valid = Aws::with_keys(address, &keys.id, &keys.secret);
    valid.call("s3", "put_object", &put).unwrap();
    assert_eq!(valid.call("s3", "get_object", &get).unwrap()["Body"], "text");
    let denied = error(&valid, "s3", "delete_object", &get);
    assert!(denied.contains("(AccessDenied)"), "{denied}");
    let denied = error(&valid, "events", "describe_event_bus", &bus);
    assert!(denied.contains("(AccessDeniedException)"), "{denied}");
    let denied = error(&valid, "cloudfront", "get_distribution", &distribution);
    assert!(denied.contains("(AccessDenied)"), "{denied}");

    let wrong = Aws::with_keys(address, &keys.id, "wrong");
    let rejected = error(&wrong, "s3", "get_object", &get);
    assert!(rejected.contains("(SignatureDoesNotMatch)"), "{rejected}");
    let rejected = error(&wrong, "events", "describe_event_bus", &bus);
    assert!(rejected.contains("(InvalidSignatureException)"), "{rejected}");

    let unknown = Aws::with_keys(address, "AKIAIOSFODNN7EXAMPLE", "wrong");
    let rejected = error(&unknown, "s3", "get_object", &get);
    assert!(rejected.contains("(InvalidAccessKeyId)"), "{rejected}");
    let rejected = error(&unknown, "cloudfront", "get_distribution", &distribution);
    assert!(rejected.contains("(InvalidClientTokenId)"), "{rejected}");
}

#[test]
fn a_server_with_a_clock_ahead_rejects_every_request() {
    let moto = Moto::start_with_clock_ahead().unwrap();
    let error = moto.aws.call("s3", "list_buckets", &json!({})).unwrap_err().to_string();
    assert!(error.contains("(RequestTimeTooSkewed)"), "{error}");
}

#[test]
fn a_distribution_is_deployed_or_in_progress_or_disabled() {
    let moto = Moto::start().unwrap();
    let state = |id: &String| {
        let response = moto.aws.call("cloudfront", "get_distribution", &json!({"Id": id})).unwrap();
        let distribution = &response["Distribution"];
        (distribution["Status"].clone(), distribution["DistributionConfig"]["Enabled"].clone())
    };
    let distribution = moto.distribution().unwrap();
    assert_eq!(state(&distribution.id), (json!("Deployed"), json!(true)));
    let in_progress = moto.distribution_in_progress().unwrap();
    assert_eq!(state(&in_progress.id), (json!("InProgress"), json!(true)));
    moto.disable(&distribution).unwrap();
    assert_eq!(state(&distribution.id).1, json!(false));
}

#[test]
fn an_edge_serves_only_its_domains() {
    let edge = Edge::start().unwrap();
    let get = |host: &str, path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", edge.port())).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        io::read_to_string(stream).unwrap()
    };
    let found = get(ALTERNATE_DOMAIN, OBJECT);
    assert!(found.starts_with("HTTP/1.1 200 ") && found.ends_with(CONTENT), "{found}");
    let forbidden = get("other.example", OBJECT);
    assert!(forbidden.starts_with("HTTP/1.1 403 "), "{forbidden}");
    let missing = get("d1.cloudfront.net", "/origin/404");
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
}
