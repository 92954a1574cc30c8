//! URLs with several hosts.

use stack::postgres::shared;

use crate::{check, check_line, private, run, url};

/// A URL with several ports of this machine.
fn several(ports: &[u16], query: &str) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let one = format!("127.0.0.1:{}", ports[0]);
    format!("{}{query}", url(ports[0]).replace(&one, &hosts.join(",")))
}

#[tokio::test]
async fn the_next_host_is_tried_if_one_is_down() {
    let ports = [stack::free_port().unwrap(), shared().unwrap().port()];
    run(&check(&several(&ports, ""), "")).await.expect_working();
}

#[tokio::test]
async fn the_next_host_is_tried_after_the_connect_timeout_of_the_url() {
    let proxy = probe_testkit::FaultProxy::start(shared().unwrap());
    proxy.swallow();
    let ports = [proxy.address().port(), shared().unwrap().port()];
    run(&check(&several(&ports, "?connect_timeout=1"), "")).await.expect_working();
}

#[tokio::test]
async fn the_failure_of_each_host_is_reported() {
    let ports = [stack::free_port().unwrap(), stack::free_port().unwrap()];
    let [a, b] = ports;
    let outcome = run(&check(&several(&ports, ""), "")).await;
    let refused = "connect: connection refused";
    let expected = format!(
        "connect: 127.0.0.1:{a}: {refused}; 127.0.0.1:{b}: {refused} (127.0.0.1:{a},127.0.0.1:{b})"
    );
    assert_eq!(outcome.line(), expected);
}

#[tokio::test]
async fn target_session_attrs_selects_the_host() {
    let primary = private(&[]);
    let replica = primary.replica().unwrap();
    let ports = [replica.port(), primary.port()];
    assert!(!run(&check(&several(&ports, ""), "")).await.is_working());
    let read_write = several(&ports, "?target_session_attrs=read-write");
    run(&check(&read_write, "")).await.expect_working();
    let read_only = several(&ports, "?target_session_attrs=read-only");
    run(&check(&read_only, "role = 'replica'")).await.expect_working();
    let primary_only = several(&ports, "?target_session_attrs=primary");
    run(&check(&primary_only, "")).await.expect_working();
    let ports = [primary.port(), replica.port()];
    for value in ["standby", "prefer-standby"] {
        let standby = several(&ports, &format!("?target_session_attrs={value}"));
        run(&check(&standby, "role = 'replica'")).await.expect_working();
    }
    let alone = format!("{}?target_session_attrs=prefer-standby", url(primary.port()));
    run(&check(&alone, "")).await.expect_working();
    let absent = format!("{}?target_session_attrs=standby", url(primary.port()));
    let expected = "role: not in recovery: `target_session_attrs` is `standby` (127.0.0.1:PORT)";
    check_line(primary.port(), &absent, "", expected).await;
}

#[tokio::test]
async fn the_parameters_replace_the_host_before_them() {
    let port = shared().unwrap().port();
    let url = url(port).replace("127.0.0.1", "absent.invalid");
    run(&check(&format!("{url}?host=127.0.0.1"), "")).await.expect_working();
    run(&check(&format!("{url}?hostaddr=127.0.0.1"), "")).await.expect_working();
    let closed = stack::free_port().unwrap();
    let lists = format!("{url}?host=127.0.0.1,127.0.0.1&port={closed},{port}");
    run(&check(&lists, "")).await.expect_working();
}

#[tokio::test]
async fn a_unix_socket_is_a_host() {
    let mut server = private(&[]);
    let folder = server.home();
    let folder = folder.to_str().unwrap();
    server.configure(&[&format!("unix_socket_directories = '{folder}'")]).unwrap();
    let encoded = folder.replace('/', "%2F");
    let before_path = url(server.port()).replace("127.0.0.1", &encoded);
    let parameter = url(server.port()).replace("127.0.0.1", "dummy") + &format!("?host={folder}");
    for url in [before_path, parameter] {
        run(&check(&url, "")).await.expect_working();
    }
}
