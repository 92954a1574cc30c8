//! URLs as other clients of Redis write them.

use probe_testkit::{TlsFiles, checks, component, diagnostics, notes};
use stack::redis::Redis;

use crate::support::{MANY, ONE, check, execute, failure};

#[tokio::test]
async fn what_a_url_demands_of_a_certificate_is_verified() {
    let files = TlsFiles::new("127.0.0.1");
    let port = stack::free_port().unwrap();
    let _server = Redis::start(&files.redis_settings(port).each_ref().map(String::as_str)).unwrap();
    let url = |host: &str, query: &str| {
        format!("url = 'rediss://{host}:{port}/0?ssl_cert_reqs={query}'\n")
    };
    let ca = files.authority.toml();
    execute(&check(&(url("127.0.0.1", "required") + &ca))).await.expect_working();
    let untrusted = failure(&url("127.0.0.1", "required")).await;
    assert!(untrusted.starts_with("tls: certificate is not trusted: "), "{untrusted}");
    let other_host = failure(&(url("localhost", "CERT_REQUIRED") + &ca)).await;
    assert!(other_host.starts_with("tls: certificate is not valid for host "), "{other_host}");
    let any_host = url("localhost", "required&ssl_check_hostname=false") + &ca;
    execute(&check(&any_host)).await.expect_working();
    let path = files.ca().display().to_string();
    let by_path = |path: &str| url("127.0.0.1", &format!("required&ssl_ca_certs={path}"));
    execute(&check(&by_path(&path))).await.expect_working();
    assert_eq!(
        failure(&by_path("/none.pem")).await,
        format!("tls: ssl_ca_certs: no such file or directory (127.0.0.1:{port})")
    );
    for reqs in ["none", "CERT_NONE"] {
        execute(&check(&url("localhost", reqs))).await.expect_working();
    }
}

#[tokio::test]
async fn a_database_is_selected_wherever_the_url_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock").display().to_string();
    let server =
        Redis::start(&[&format!("unixsocket {socket}"), "requirepass some-password"]).unwrap();
    let set = ["-a", "some-password", "-n", "3", "SET", "where", "three"];
    server.command(&set).unwrap();
    let port = server.port();
    for url in [
        format!("redis://:some-password@127.0.0.1:{port}/3"),
        format!("redis://:some-password@127.0.0.1:{port}//3"),
        format!("valkey://:some-password@127.0.0.1:{port}?db=3&protocol=3&socket_timeout=5"),
        format!("redis://:some-password@127.0.0.1:{port}/3?db=&username=&password="),
        format!("redis://127.0.0.1:{port}?db=3&username=default&password=some-password"),
        format!("unix://:some-password@{socket}?db=3"),
        format!("redis+socket://:some-password@{socket}?virtual_host=3"),
    ] {
        let toml = format!("three = '{url}'");
        let [(_, check)] = &checks(&component(&MANY, "cache", &toml))[..] else {
            panic!("one check")
        };
        execute(check).await.expect_working();
    }
}

#[tokio::test]
async fn a_socket_is_the_target_of_its_failures() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("none.sock").display().to_string();
    assert_eq!(
        failure(&format!("url = 'unix://{socket}'")).await,
        format!("connect: no such file or directory ({socket})")
    );
}

#[tokio::test]
async fn each_of_several_sentinels_may_answer() {
    let primary = Redis::start(&[]).unwrap();
    let monitor = format!("sentinel monitor app 127.0.0.1 {} 1", primary.port());
    let sentinel = Redis::start_sentinel(&[&monitor]).unwrap();
    let (down, up) = (stack::free_port().unwrap(), sentinel.port());
    for url in [
        format!("sentinel://127.0.0.1:{down}/0;sentinel://127.0.0.1:{up}/0?master_name=app"),
        format!("redis-sentinel://127.0.0.1:{down},127.0.0.1:{up}#app"),
    ] {
        execute(&check(&format!("url = '{url}'"))).await.expect_working();
    }
}

#[test]
fn ignored_parameters_are_noted_and_others_refused() {
    let url = "url = 'redis://h?socket_timeout=5&health_check_interval=25'";
    assert_eq!(
        notes(&ONE, "redis", url),
        ["1: redis.url: ignored here: `health_check_interval`, `socket_timeout`"]
    );
    assert_eq!(
        diagnostics(&ONE, "redis", "url = 'redis://a/0;redis://b/0'"),
        [
            "1: redis.url: expected one server: the nodes of a cluster are written as `redis-cluster://host?node=other:6379`, sentinels as `redis-sentinel://`"
        ]
    );
}
