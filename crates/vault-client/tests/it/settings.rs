//! The diagnostics and the identity of a session's settings.

use std::sync::Arc;

use probe::SharedResources;

use crate::fixtures::{diagnostics, session, shared_session};

#[test]
fn all_diagnostics_are_reported_and_quote_no_value() {
    let toml = "url = 'ftp://vault'\nlogin = 'ldap'\nvault_namespace = ''\nmin = 1\n";
    let expected = [
        "1: vault.url: expected a URL that begins with `http://` or `https://`",
        "2: vault.login: expected `token` or `approle` or `kubernetes`",
        "3: vault.vault_namespace: expected a text that is not empty",
        "4: vault: unknown key `min`, expected one of `url`, `ca`, `certificate`, `private_key`, `min_certificate_validity`, `vault_namespace`, `login`, `token`, `role_id`, `secret_id`, `role`, `jwt_file`, `mount`",
    ];
    assert_eq!(diagnostics(toml), expected);
}

#[test]
fn missing_keys_of_a_login_and_keys_of_other_logins_are_errors() {
    let url = "url = 'http://me:hunter2@vault'\n";
    assert_eq!(
        diagnostics(&format!("{url}role_id = 'a'\nsecret_id = 'b'\n")),
        [
            "1: vault.url: expected a URL without user-info, query and fragment",
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
fn a_token_must_fit_in_a_header_and_may_end_with_a_newline() {
    let url = "url = 'http://vault'\n";
    let message = "expected visible ASCII characters on one line";
    assert_eq!(
        diagnostics(&format!("{url}token = \"s.a\\nb\"\n")),
        [format!("2: vault.token: {message}")]
    );
    let shared = SharedResources::default();
    let first = shared_session(&shared, &format!("{url}token = \"s.abc\\n\"\n"));
    let second = shared_session(&shared, &format!("{url}token = 's.abc'\n"));
    assert!(Arc::ptr_eq(&first, &second));
}

#[test]
fn only_equal_settings_share_a_session() {
    let shared = SharedResources::default();
    let base = "url = 'http://vault'\ntoken = 's.abc'\n";
    let first = shared_session(&shared, base);
    assert_eq!(first.target(), "vault:80");
    let different = [
        base.replace("http", "https"),
        base.replace("abc", "def"),
        format!("{base}vault_namespace = 'teams'\n"),
        "url = 'http://vault'\nlogin = 'approle'\nrole_id = 's.abc'\n".to_owned(),
    ];
    for settings in different {
        assert!(!Arc::ptr_eq(&first, &shared_session(&shared, &settings)), "{settings}");
    }
    let mount = |path: &str| {
        let login = "url = 'http://vault'\nlogin = 'approle'\nrole_id = 's.abc'\n";
        shared_session(&shared, &format!("{login}mount = '{path}'\n"))
    };
    assert!(Arc::ptr_eq(&mount("teams/approle"), &mount("auth/teams/approle/")));
}

#[test]
fn a_session_prints_no_secret() {
    let approle = "url = 'http://vault'\nlogin = 'approle'\nrole_id = 'hunter2-role'\nsecret_id = 'hunter2-secret'\n";
    for settings in [approle, "url = 'http://vault'\ntoken = 'hunter2-token'\n"] {
        let printed = format!("{:?}", session(settings));
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
