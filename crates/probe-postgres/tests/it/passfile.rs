//! The password in a file, as libpq reads it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use stack::postgres::shared;
use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};
use tempfile::TempDir;

use crate::{check, check_line, run, url};

/// A file with this text and these permissions.
fn passfile(text: &str, mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pgpass");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

/// The URL of the shared server without a password, which is in this file.
fn url_with(path: &std::path::Path) -> String {
    let url = url(shared().unwrap().port()).replace(&format!(":{HEALTH_PASSWORD}"), "");
    format!("{url}?passfile={}", path.display())
}

#[tokio::test]
async fn the_first_line_for_the_login_has_the_password() {
    let port = shared().unwrap().port();
    let text = format!(
        "# comment\n\nlocalhost:*:*:*:wrong\n127.0.0.1:{port}:{POSTGRES_DATABASE}:{HEALTH_USER}:{HEALTH_PASSWORD}\r\n*:*:*:*:wrong\n"
    );
    let (_folder, path) = passfile(&text, 0o600);
    run(&check(&url_with(&path), "")).await.expect_working();
}

#[tokio::test]
async fn a_new_password_in_the_file_is_tried_at_once() {
    let port = shared().unwrap().port();
    let (_folder, path) = passfile("*:*:*:*:wrong-password", 0o400);
    let check = check(&url_with(&path), "");
    let refused = format!(
        "authenticate: password authentication failed for user \"{HEALTH_USER}\", SQLSTATE 28P01 (127.0.0.1:{port})"
    );
    assert_eq!(run(&check).await.line(), refused);
    assert!(run(&check).await.line().contains(", refused "), "it is not tried again");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, format!("*:*:*:*:{HEALTH_PASSWORD}")).unwrap();
    run(&check).await.expect_working();
}

#[tokio::test]
async fn a_file_that_libpq_ignores_is_named() {
    let port = shared().unwrap().port();
    let (folder, path) = passfile("*:*:*:*:wrong", 0o640);
    let cause = "passfile: others may access it: its permissions are 0640, expected 0600";
    let expected = format!("authenticate: {cause}: password missing (127.0.0.1:PORT)");
    check_line(port, &url_with(&path), "", &expected).await;
    let (_folder, other) = passfile("other:*:*:*:wrong", 0o600);
    let expected =
        "authenticate: passfile: it has no line for this login: password missing (127.0.0.1:PORT)";
    check_line(port, &url_with(&other), "", expected).await;
    drop(folder);
    let expected =
        "authenticate: passfile: no such file or directory: password missing (127.0.0.1:PORT)";
    check_line(port, &url_with(&path), "", expected).await;
}
