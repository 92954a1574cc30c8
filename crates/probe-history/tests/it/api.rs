//! The history service's own health endpoint.

use std::net::TcpListener;

use probe_history::KIND;
use probe_testkit::component;
use stack::history::{Behaviour, History};

use crate::stage::{failures, impostor, local};

/// What `api` with these lines says; empty if it works.
async fn said(lines: &str) -> String {
    let component = component(&KIND, "history", &format!("[api]\n{lines}"));
    failures(&component).await.concat()
}

#[tokio::test]
async fn status_and_content_must_be_as_expected() {
    let at = stack::history::shared().unwrap();
    let health = format!("url = 'http://{at}/health'\n");
    assert_eq!(said(&health).await, "");
    assert_eq!(said(&format!("{health}contains = '\"status\": \"ok\"'\n")).await, "");
    assert_eq!(
        said(&format!("{health}contains = 'hunter2'\n")).await,
        format!("api: get: the answer does not contain what it should ({at})")
    );
    assert_eq!(
        said(&format!("{health}status = 204\n")).await,
        format!("api: get: expected status 204, got 200 OK ({at})")
    );
    assert_eq!(said(&format!("url = 'http://{at}/none'\nstatus = 404\n")).await, "");
}

#[tokio::test]
async fn a_service_without_its_database_says_so_by_its_status() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let history = History::start(closed.port(), Behaviour::Works).unwrap();
    let at = local(history.port());
    assert_eq!(
        said(&format!("url = 'http://{at}/health'\n")).await,
        format!("api: get: expected status 200, got 503 Service Unavailable ({at})")
    );
}

#[tokio::test]
async fn headers_are_sent_and_their_refusal_is_a_failed_authentication() {
    let (at, asked) = impostor("401 Unauthorized", "").await;
    let headers = "headers = { Authorization = 'Bearer hunter2', X-Tenant = 'a' }\n";
    assert_eq!(
        said(&format!("url = 'http://{at}/health?deep=1'\n{headers}")).await,
        format!("api: authenticate: expected status 200, got 401 Unauthorized ({at})")
    );
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Bearer hunter2\r\nx-tenant: a\r\n"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_named_and_not_followed() {
    let (at, _) = impostor("302 Found\r\nLocation: http://127.0.0.1:1/", "").await;
    assert_eq!(
        said(&format!("url = 'http://{at}'\n")).await,
        format!(
            "api: get: expected status 200, got 302 Found, and redirects are not followed ({at})"
        )
    );
}
