//! localstack and moto: what they hold, what they refuse, and how they are broken.

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
fn localstack_has_two_buckets_and_ends_with_its_value() {
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
    bus.make_connection_wait().unwrap();
    assert_eq!(connection()["ConnectionState"], "AUTHORIZING");
    assert_eq!(destination()["ConnectionArn"], connection()["ConnectionArn"]);
    assert_eq!(destination()["ApiDestinationState"], "INACTIVE");
}

#[test]
fn a_server_that_checks_names_what_is_wrong() {
    let (moto, keys) = Moto::start_checking(&["s3:GetObject", "s3:PutObject"]).unwrap();
    let address = ([127, 0, 0, 1], moto.port()).into();
    let put = json!({"Bucket": APP_BUCKET, "Key": "a", "Body": "text"});
    let get = json!({"Bucket": APP_BUCKET, "Key": "a"});
    let bus = json!({"Name": BUS});
    let distribution = json!({"Id": moto.distribution().unwrap().id});
    let refusal = |aws: &Aws, service: &str, operation: &str, parameters: &Value| {
        aws.call(service, operation, parameters).unwrap_err().to_string()
    };

    let good = Aws::with_keys(address, &keys.id, &keys.secret);
    good.call("s3", "put_object", &put).unwrap();
    assert_eq!(good.call("s3", "get_object", &get).unwrap()["Body"], "text");
    let denied = refusal(&good, "s3", "delete_object", &get);
    assert!(denied.contains("(AccessDenied)"), "{denied}");
    let denied = refusal(&good, "events", "describe_event_bus", &bus);
    assert!(denied.contains("(AccessDeniedException)"), "{denied}");
    let denied = refusal(&good, "cloudfront", "get_distribution", &distribution);
    assert!(denied.contains("(AccessDenied)"), "{denied}");

    let wrong = Aws::with_keys(address, &keys.id, "wrong");
    let mistaken = refusal(&wrong, "s3", "get_object", &get);
    assert!(mistaken.contains("(SignatureDoesNotMatch)"), "{mistaken}");
    let mistaken = refusal(&wrong, "events", "describe_event_bus", &bus);
    assert!(mistaken.contains("(InvalidSignatureException)"), "{mistaken}");

    let unknown = Aws::with_keys(address, "AKIAIOSFODNN7EXAMPLE", "wrong");
    let stranger = refusal(&unknown, "s3", "get_object", &get);
    assert!(stranger.contains("(InvalidAccessKeyId)"), "{stranger}");
    let stranger = refusal(&unknown, "cloudfront", "get_distribution", &distribution);
    assert!(stranger.contains("(InvalidClientTokenId)"), "{stranger}");
}

#[test]
fn no_request_is_in_time_for_a_server_whose_clock_is_ahead() {
    let moto = Moto::start_ahead().unwrap();
    let error = moto.aws.call("s3", "list_buckets", &json!({})).unwrap_err().to_string();
    assert!(error.contains("(RequestTimeTooSkewed)"), "{error}");
}

#[test]
fn a_distribution_is_deployed_or_in_progress_or_disabled() {
    let moto = Moto::start().unwrap();
    let ask = |id: &String| {
        let answer = moto.aws.call("cloudfront", "get_distribution", &json!({"Id": id})).unwrap();
        let distribution = &answer["Distribution"];
        (distribution["Status"].clone(), distribution["DistributionConfig"]["Enabled"].clone())
    };
    let distribution = moto.distribution().unwrap();
    assert_eq!(ask(&distribution.id), (json!("Deployed"), json!(true)));
    let unfinished = moto.distribution_in_progress().unwrap();
    assert_eq!(ask(&unfinished.id), (json!("InProgress"), json!(true)));
    moto.disable(&distribution).unwrap();
    assert_eq!(ask(&distribution.id).1, json!(false));
}

#[test]
fn an_edge_answers_for_its_domains_alone() {
    let edge = Edge::start().unwrap();
    let get = |host: &str, path: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", edge.port())).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        io::read_to_string(stream).unwrap()
    };
    let there = get(ALTERNATE_DOMAIN, OBJECT);
    assert!(there.starts_with("HTTP/1.1 200 ") && there.ends_with(CONTENT), "{there}");
    let elsewhere = get("other.example", OBJECT);
    assert!(elsewhere.starts_with("HTTP/1.1 403 "), "{elsewhere}");
    let missing = get("d1.cloudfront.net", "/origin/404");
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
}
