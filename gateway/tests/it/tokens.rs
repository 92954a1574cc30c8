//! Access tokens in a real Vault that change, expire, or cannot be read.

use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stack::vault::{ROOT_TOKEN, Vault};

use crate::running::{FILE, Gateway, TOKEN, get, receive, send, status, wait_for};

fn file(vault: &Vault) -> String {
    format!(
        "namespace = \"tests\"\nmax_age = \"0s\"\ntimeout = \"1s\"\n[vault]\nurl = \"http://127.0.0.1:{}\"\ntoken = \"{ROOT_TOKEN}\"\n",
        vault.port()
    )
}

fn put_token(vault: &Vault, token: &str) {
    let secret = json!({"data": {"access_token": token}});
    vault.api("POST", "secret/data/tests/health", &secret).unwrap();
}

fn code(gateway: &Gateway, token: &str) -> u16 {
    get(gateway.address, token, &[]).status
}

#[test]
fn a_token_changed_in_vault_is_accepted_at_its_first_use_and_replaces_the_old_one() {
    let vault = Vault::start().unwrap();
    put_token(&vault, "first-token");
    let gateway = Gateway::start(&file(&vault));
    assert_eq!((code(&gateway, "first-token"), code(&gateway, "second-token")), (200, 405));
    put_token(&vault, "second-token");
    let begun = Instant::now();
    assert_eq!(code(&gateway, "second-token"), 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(code(&gateway, "first-token"), 405);
}

#[test]
fn a_replaced_token_is_accepted_during_the_grace_period() {
    let vault = Vault::start().unwrap();
    put_token(&vault, "first-token");
    let gateway = Gateway::start(&format!("access_token_grace = \"1h\"\n{}", file(&vault)));
    assert_eq!(code(&gateway, "first-token"), 200);
    put_token(&vault, "second-token");
    assert_eq!((code(&gateway, "second-token"), code(&gateway, "first-token")), (200, 200));
    put_token(&vault, "third-token");
    let codes = ["third-token", "second-token", "first-token"].map(|token| code(&gateway, token));
    assert_eq!(codes, [200, 200, 405]);
}

#[test]
fn the_last_known_token_is_accepted_while_vault_is_down() {
    let mut vault = Vault::start().unwrap();
    put_token(&vault, "first-token");
    let gateway = Gateway::start(&file(&vault));
    assert_eq!(code(&gateway, "first-token"), 200);
    vault.server.stop();
    let status = status(&gateway.report_with("first-token", &[]), "/vault");
    assert_eq!(status, format!("connect: connection refused (127.0.0.1:{})", vault.port()));
    // The right token is also accepted after repeated failures to read the secrets.
    let codes = ["wrong-token", "wrong-token", "first-token"].map(|token| code(&gateway, token));
    assert_eq!(codes, [405, 405, 200]);
    let logged = gateway.log().matches("secret unreadable").count();
    assert_eq!(logged, 1, "the same failure is logged once: {}", gateway.log());
}

#[test]
fn the_last_known_token_is_accepted_while_vault_is_sealed() {
    let vault = Vault::start().unwrap();
    put_token(&vault, "first-token");
    let gateway = Gateway::start(&file(&vault));
    assert_eq!(code(&gateway, "first-token"), 200);
    vault.api("PUT", "sys/seal", &Value::Null).unwrap();
    let status = status(&gateway.report_with("first-token", &[]), "/vault");
    assert!(status.contains("sealed"), "{status}");
    assert_eq!((code(&gateway, "wrong-token"), code(&gateway, "first-token")), (405, 200));
}

#[test]
fn the_last_known_token_is_accepted_while_vault_is_silent() {
    let vault = Vault::start().unwrap();
    put_token(&vault, "first-token");
    let gateway = Gateway::start(&file(&vault));
    assert_eq!(code(&gateway, "first-token"), 200);
    vault.server.pause();
    let found = status(&gateway.report_with("first-token", &[]), "/vault");
    assert!(found.contains("no answer within 1s"), "{found}");
    assert_eq!((code(&gateway, "wrong-token"), code(&gateway, "first-token")), (405, 200));
    // The last of them is delayed by 3 s, and Vault's silence adds nothing.
    let (begun, path) = (Instant::now(), "/api/health/wrong-token/");
    let wrong: Vec<_> = (0..9).map(|_| send(gateway.address, "GET", path, &[]).unwrap()).collect();
    for request in wrong {
        assert_eq!(receive(request).unwrap().status, 405);
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    vault.server.resume();
    let found = status(&gateway.report_with("first-token", &["Cache-Control: no-cache"]), "/vault");
    assert_eq!(found, "working");
}

#[test]
fn a_gateway_starts_without_vault_and_reads_the_token_when_vault_is_back() {
    let mut vault = Vault::start().unwrap();
    vault.server.stop();
    let gateway = Gateway::start(&file(&vault));
    assert_eq!(code(&gateway, "first-token"), 405);
    vault.server.restart().unwrap();
    put_token(&vault, "first-token");
    wait_for("the token", || match code(&gateway, "first-token") {
        200 => Ok(()),
        other => Err(other.to_string()),
    });
}

#[test]
fn the_header_must_not_contradict_the_path() {
    let gateway = Gateway::start(FILE);
    let code = |header: &str| get(gateway.address, TOKEN, &[header]).status;
    assert_eq!(code(&format!("Authorization: JWT {TOKEN}")), 200);
    assert_eq!(code("Authorization: JWT another"), 405);
    assert_eq!(code("Authorization: JWT"), 405);
    assert_eq!(code("Authorization: Bearer another"), 200);
}

#[test]
fn the_header_can_be_required_or_ignored() {
    let required = Gateway::start(&format!("authorization = \"required\"\n{FILE}"));
    let header = format!("Authorization: JWT {TOKEN}");
    assert_eq!(get(required.address, TOKEN, &[&header]).status, 200);
    assert_eq!(get(required.address, TOKEN, &[]).status, 405);
    let ignored = Gateway::start(&format!("authorization = \"ignored\"\n{FILE}"));
    assert_eq!(get(ignored.address, TOKEN, &["Authorization: JWT another"]).status, 200);
}

#[test]
fn repeated_wrong_tokens_are_delayed_and_the_right_one_is_not() {
    let gateway = Gateway::start(FILE);
    let begun = Instant::now();
    for _ in 0..6 {
        assert_eq!(code(&gateway, "wrong-token"), 405);
    }
    // Three are answered at once, the next after 100, 200 and 400 ms.
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(code(&gateway, TOKEN), 200);
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());
}

#[test]
fn disconnecting_early_does_not_avoid_later_delays() {
    let vault = Vault::start().unwrap();
    put_token(&vault, "first-token");
    let gateway = Gateway::start(&file(&vault));
    assert_eq!(code(&gateway, "first-token"), 200);
    vault.server.pause();
    for _ in 0..8 {
        // The gateway sends 100 once it waits for Vault, and then the caller disconnects.
        let headers = ["Content-Length: 1", "Expect: 100-continue"];
        let guess = send(gateway.address, "GET", "/api/health/wrong-token/", &headers);
        guess.expect("it listens").read_exact(&mut [0; 12]).unwrap();
    }
    assert_eq!(code(&gateway, "wrong-token"), 405);
    gateway.wait_for_log("\"delay_seconds\":3");
    vault.server.resume();
}

#[test]
fn each_namespace_has_its_own_token_and_checks() {
    let other = "namespace = \"other\"\naccess_token = \"token-of-the-other\"\n[redis2]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n";
    let gateway = Gateway::start_with(&[
        ("tests.toml", &format!("{FILE}[redis]\nurl = \"redis://127.0.0.1:1\"\n")),
        ("other.toml", other),
    ]);
    let names = |token| -> Vec<String> {
        gateway.report_with(token, &[]).as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(
        (names(TOKEN), names("token-of-the-other")),
        (vec!["redis".into()], vec!["redis2".into()])
    );
}
