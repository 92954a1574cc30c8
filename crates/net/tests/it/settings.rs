//! Errors in the settings are recorded without quoting values.

use crate::read;
use probe_testkit::Authority;

fn check_diagnostics(keys: &[(&str, &str)], expected: &[&str]) {
    let diagnostics: Vec<_> = read(keys).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(diagnostics, expected);
}

#[test]
fn a_section_without_settings_has_the_default() {
    assert!(read(&[]).unwrap().is_default());
    assert!(!read(&[("ca", &Authority::new("ours").pem)]).unwrap().is_default());
    assert!(!read(&[("min_certificate_validity", "14d")]).unwrap().is_default());
}

#[test]
fn different_settings_have_different_identities() {
    let ca = Authority::new("ours");
    let [a, b] = [ca.issue("a"), ca.issue("b")];
    let plain = read(&[]).unwrap();
    let with_ca = read(&[("ca", &ca.pem)]).unwrap();
    let as_a = read(&[("certificate", &a.certificate), ("private_key", &a.key)]).unwrap();
    let as_b = read(&[("certificate", &b.certificate), ("private_key", &b.key)]).unwrap();
    assert_eq!(plain.identity(), read(&[]).unwrap().identity());
    assert_ne!(plain.identity(), with_ca.identity());
    let with_validity = read(&[("min_certificate_validity", "14d")]).unwrap();
    assert_ne!(plain.identity(), with_validity.identity());
    assert_ne!(as_a.identity(), as_b.identity());
}

#[test]
fn all_errors_are_recorded_and_no_value_is_quoted() {
    check_diagnostics(
        &[("ca", "/etc/ca.pem"), ("certificate", "hunter2"), ("private_key", "hunter2")],
        &[
            "1: server.ca: expected PEM with at least one certificate; a file is read with `${file:/path}`",
            "2: server.certificate: expected PEM with at least one certificate; a file is read with `${file:/path}`",
            "3: server.private_key: expected PEM with a private key that is not encrypted; a file is read with `${file:/path}`",
        ],
    );
}

#[test]
fn a_wrong_duration_is_an_error() {
    check_diagnostics(
        &[("min_certificate_validity", "2 weeks")],
        &[
            "1: server.min_certificate_validity: expected a duration such as `250ms`, `3s`, `5m` or `1h`",
        ],
    );
}

#[test]
fn a_certificate_and_its_key_need_each_other() {
    let identity = Authority::new("ours").issue("a");
    check_diagnostics(
        &[("certificate", &identity.certificate)],
        &["1: server.certificate: expected `private_key` beside it"],
    );
    check_diagnostics(
        &[("private_key", &identity.key)],
        &["1: server.private_key: expected `certificate` beside it"],
    );
}

#[test]
fn the_key_of_another_certificate_is_an_error() {
    let ca = Authority::new("ours");
    check_diagnostics(
        &[("certificate", &ca.issue("a").certificate), ("private_key", &ca.issue("a").key)],
        &["2: server.private_key: expected the private key that belongs to `certificate`"],
    );
}

#[test]
fn a_truncated_certificate_is_an_error() {
    let pem = Authority::new("ours").pem;
    check_diagnostics(
        &[("ca", &pem[..pem.len() / 2])],
        &[
            "1: server.ca: expected PEM with at least one certificate; a file is read with `${file:/path}`",
        ],
    );
}

#[test]
fn the_debug_output_has_no_values() {
    let identity = Authority::new("ours").issue("a");
    let settings =
        read(&[("certificate", &identity.certificate), ("private_key", &identity.key)]).unwrap();
    assert_eq!(
        format!("{settings:?}"),
        "TlsSettings { ca: false, certificate: true, min_certificate_validity: None }"
    );
}
