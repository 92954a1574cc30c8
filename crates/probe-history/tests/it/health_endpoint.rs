//! The check of the history service's health endpoint.

use std::net::TcpListener;

use probe_history::KIND;
use probe_testkit::component;
use stack::history::{Behaviour, History};

use crate::pipeline::{failures, impostor, local};

/// The error line of `api` with these settings; empty if it is working.
async fn error_line(lines: &str) -> String {
    let component = component(&KIND, "history", &format!("[api]\n{lines}"));
    failures(&component).await.concat()
}

#[tokio::test]
async fn status_and_content_must_match() {
    let at = stack::history::shared().unwrap();
    let health = format!("url = 'http://{at}/health'\n");
    assert_eq!(error_line(&health).await, "");
    assert_eq!(error_line(&format!("{health}contains = '\"status\": \"ok\"'\n")).await, "");
    assert_eq!(
        error_line(&format!("{health}contains = 'hunter2'\n")).await,
        format!("api: get: the response does not contain the expected text ({at})")
    );
    assert_eq!(
        error_line(&format!("{health}status = 204\n")).await,
        format!("api: get: expected status 204, got 200 OK ({at})")
    );
    assert_eq!(error_line(&format!("url = 'http://{at}/none'\nstatus = 404\n")).await, "");
}

#[tokio::test]
async fn a_service_without_its_database_has_another_status() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let history = History::start(closed.port(), Behaviour::Works).unwrap();
    let at = local(history.port());
    assert_eq!(
        error_line(&format!("url = 'http://{at}/health'\n")).await,
        format!("api: get: expected status 200, got 503 Service Unavailable ({at})")
    );
}

#[tokio::test]
async fn headers_are_sent_and_their_rejection_fails_in_the_authenticate_step() {
    let (at, received) = impostor("401 Unauthorized", "").await;
    let headers = "headers = { Authorization = 'Bearer hunter2', X-Tenant = 'a' }\n";
    assert_eq!(
        error_line(&format!("url = 'http://{at}/health?deep=1'\n{headers}")).await,
        format!("api: authenticate: expected status 200, got 401 Unauthorized ({at})")
    );
    let received = received.await.unwrap();
    assert!(received.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{received}");
    assert!(received.contains("authorization: Bearer hunter2\r\nx-tenant: a\r\n"), "{received}");
}

#[tokio::test]
async fn a_user_in_the_url_is_sent_as_basic_authentication() {
    let (at, received) = impostor("403 Forbidden", "").await;
    assert_eq!(
        error_line(&format!("url = 'http://me:hunter%402@{at}/health'\n")).await,
        format!("api: authenticate: expected status 200, got 403 Forbidden ({at})")
    );
    let received = received.await.unwrap();
    // `me:hunter@2`
    assert!(received.contains("authorization: Basic bWU6aHVudGVyQDI=\r\n"), "{received}");
    let twice = "[api]\nurl = 'http://me:p@h'\nheaders = { authorization = 'x' }\n";
    assert_eq!(
        probe_testkit::diagnostics(&KIND, "history", twice),
        ["3: history.api.headers: expected no `Authorization` beside a user in `url`"]
    );
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let (at, _) = impostor("302 Found\r\nLocation: http://127.0.0.1:1/", "").await;
    assert_eq!(
        error_line(&format!("url = 'http://{at}'\n")).await,
        format!(
            "api: get: expected status 200, got 302 Found, and redirects are not followed ({at})"
        )
    );
}
