//! A real server's responses to the upgrade request.

use stack::{HEALTH_PASSWORD, HEALTH_USER};

use crate::{assert_fails, right_key, run_once};

#[tokio::test]
async fn a_status_in_place_of_the_upgrade_is_reported() {
    for (code, words) in [
        (200, "200 OK"),
        (404, "404 Not Found"),
        (426, "426 Upgrade Required"),
        (503, "503 Service Unavailable"),
    ] {
        let outcome = run_once(&format!("/status/{code}"), "").await;
        let expected = format!("handshake: the server answered {words} in place of the upgrade");
        assert_fails(&outcome, &expected);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let expected = "handshake: the server answered 302 Found in place of the upgrade; redirects are not followed";
    assert_fails(&run_once("/status/302", "").await, expected);
}

#[tokio::test]
async fn an_unauthorized_request_fails_in_authenticate_only_if_it_has_credentials() {
    let refused =
        |step, words| format!("{step}: the server answered {words} in place of the upgrade");
    let unauthorized = refused("handshake", "401 Unauthorized");
    assert_fails(&run_once("/private", "").await, &unauthorized);
    let wrong = "headers = { X-Api-Key = 'not-the-one' }";
    let unauthorized = refused("authenticate", "401 Unauthorized");
    assert_fails(&run_once("/private", wrong).await, &unauthorized);
    assert_fails(&run_once("/private?key=not-the-one", "").await, &unauthorized);
    assert_fails(&run_once("/status/403", wrong).await, &refused("authenticate", "403 Forbidden"));
    assert_fails(&run_once("/status/404", wrong).await, &refused("handshake", "404 Not Found"));
}

#[tokio::test]
async fn a_header_may_authenticate() {
    run_once("/private", &right_key()).await.expect_working();
}

#[tokio::test]
async fn a_user_in_the_url_authenticates() {
    let address = stack::websocket::shared().unwrap();
    for (password, works) in [(HEALTH_PASSWORD, true), ("not-the-one", false)] {
        let url = format!("url = 'ws://{HEALTH_USER}:{password}@{address}/private'");
        let check = probe_testkit::single(&probe_websocket::KIND, "websocket", &url);
        let outcome = probe_testkit::run(&check, crate::DEADLINE).await;
        assert_eq!(outcome.is_working(), works, "{outcome:?}");
    }
}

#[tokio::test]
async fn the_configured_origin_is_sent() {
    run_once("/origin", "origin = 'https://app.example'").await.expect_working();
    let expected = "handshake: the server answered 403 Forbidden in place of the upgrade";
    assert_fails(&run_once("/origin", "origin = 'https://other.example'").await, expected);
    assert_fails(&run_once("/origin", "").await, expected);
}

#[tokio::test]
async fn the_server_must_select_the_subprotocol() {
    let chat = "subprotocol = 'chat.v2'";
    run_once("/subprotocol/chat.v2", chat).await.expect_working();
    run_once("/subprotocol/chat.v2", "").await.expect_working();
    assert_fails(
        &run_once("/", chat).await,
        "handshake: the server does not select the subprotocol",
    );
    assert_fails(
        &run_once("/subprotocol/chat.v1", chat).await,
        "handshake: the server selects a subprotocol other than the one offered",
    );
}
