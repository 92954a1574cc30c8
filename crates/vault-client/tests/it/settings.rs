//! The settings of a session, right and wrong.

use std::sync::Arc;

use probe::SharedResources;

use crate::bench::{diagnostics, session, session_among};

#[test]
fn everything_wrong_is_told_and_nothing_is_quoted() {
    let toml = "url = 'ftp://vault'\nlogin = 'ldap'\nvault_namespace = ''\nmin = 1\n";
    let expected = [
        "1: vault.url: expected a URL that begins with `http://` or `https://`",
        "2: vault.login: expected `token` or `approle` or `kubernetes`",
        "3: vault.vault_namespace: expected a text that is not empty",
        "4: vault: unknown key `min`, expected one of `url`, `ca`, `certificate`, `private_key`, `vault_namespace`, `login`, `token`, `role_id`, `secret_id`, `role`, `jwt_file`, `mount`",
    ];
    assert_eq!(diagnostics(toml), expected);
}

#[test]
fn a_login_without_its_settings_or_with_those_of_another_is_a_mistake() {
    let url = "url = 'http://me:hunter2@vault'\n";
    assert_eq!(
        diagnostics(&format!("{url}role_id = 'a'\nsecret_id = 'b'\n")),
        [
            "1: vault.url: expected a URL without user-info and query",
            "1: vault: missing `token`",
            "2: vault.role_id: expected only with `login = \"approle\"`",
            "3: vault.secret_id: expected only with `login = \"approle\"`",
        ]
    );
    let url = "url = 'http://vault'\n";
    assert_eq!(
        diagnostics(&format!("{url}login = 'approle'\ntoken = 'a'\nmount = '/'\n")),
        [
            "1: vault: missing `role_id`",
            "3: vault.token: expected only with `login = \"token\"`",
            "4: vault.mount: expected the path of an auth method, such as `approle`",
        ]
    );
    assert_eq!(diagnostics(&format!("{url}login = 'kubernetes'\n")), ["1: vault: missing `role`"]);
}

#[test]
fn a_token_that_no_header_can_hold_is_a_mistake_and_a_newline_at_its_end_is_none() {
    let url = "url = 'http://vault'\n";
    let message = "expected visible ASCII characters on one line";
    assert_eq!(
        diagnostics(&format!("{url}token = \"s.a\\nb\"\n")),
        [format!("2: vault.token: {message}")]
    );
    let shared = SharedResources::default();
    let first = session_among(&shared, &format!("{url}token = \"s.abc\\n\"\n"));
    let second = session_among(&shared, &format!("{url}token = 's.abc'\n"));
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn sessions_are_shared_by_those_who_mean_the_same_and_by_nobody_else() {
    let shared = SharedResources::default();
    let base = "url = 'http://vault'\ntoken = 's.abc'\n";
    let first = session_among(&shared, base);
    assert_eq!(first.target(), "vault:80");
    let different = [
        base.replace("http", "https"),
        base.replace("abc", "def"),
        format!("{base}vault_namespace = 'teams'\n"),
        "url = 'http://vault'\nlogin = 'approle'\nrole_id = 's.abc'\n".to_owned(),
    ];
    for settings in different {
        assert!(!Arc::ptr_eq(&first, &session_among(&shared, &settings)), "{settings}");
    }
}

#[test]
fn a_session_prints_no_secret() {
    let approle = "url = 'http://vault'\nlogin = 'approle'\nrole_id = 'hunter2-role'\nsecret_id = 'hunter2-secret'\n";
    for settings in [approle, "url = 'http://vault'\ntoken = 'hunter2-token'\n"] {
        let printed = format!("{:?}", session(settings));
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
