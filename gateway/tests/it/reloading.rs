//! Changes while the gateway runs: of files, referenced files, secrets and folders.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use stack::redis::Redis;
use stack::vault::{ROOT_TOKEN, Vault};

use crate::running::{FILE, Gateway, TOKEN, get, wait_for};

fn names(gateway: &Gateway) -> Vec<String> {
    let mut names: Vec<_> = gateway.report().as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}

fn wait_for_names(gateway: &Gateway, expected: &[&str]) {
    wait_for("components", || {
        let names = names(gateway);
        if names == expected { Ok(()) } else { Err(names.join(", ")) }
    });
}

const REDIS: &str = "[redis]\nurl = \"redis://127.0.0.1:1\"\n";
const REDIS2: &str = "[redis2]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n";

#[test]
fn a_changed_file_takes_effect_and_an_invalid_one_does_not() {
    let gateway = Gateway::start(&format!("{FILE}{REDIS}"));
    assert_eq!(names(&gateway), ["redis"]);
    gateway.write("tests.toml", &format!("{FILE}{REDIS}{REDIS2}"));
    wait_for_names(&gateway, &["redis", "redis2"]);
    gateway.write("tests.toml", &format!("{FILE}[redis]\nurl = \"hunter2-in-a-bad-file\"\n"));
    gateway.wait_for_log("config rejected");
    assert_eq!(names(&gateway), ["redis", "redis2"]);
    assert!(gateway.log().contains("tests.toml:5: redis.url: expected a URL"), "{}", gateway.log());
    assert!(!gateway.log().contains("hunter2"), "{}", gateway.log());
    gateway.write("tests.toml", &format!("{FILE}{REDIS2}"));
    wait_for_names(&gateway, &["redis2"]);
}

#[test]
fn a_watched_file_is_read_when_it_changes() {
    let gateway = Gateway::start(&format!("{FILE}{REDIS}"));
    let folder = format!("/proc/{}/fdinfo", gateway.server.pid().unwrap());
    wait_for("watched files", || {
        let files = fs::read_dir(&folder).unwrap().flatten();
        let texts: String = files.flat_map(|file| fs::read_to_string(file.path())).collect();
        // The file and its folder, which the kernel reports once each.
        match texts.matches("inotify wd:").count() {
            2.. => Ok(()),
            count => Err(format!("{count} watches")),
        }
    });
    let begun = Instant::now();
    gateway.write("tests.toml", &format!("{FILE}{REDIS2}"));
    wait_for_names(&gateway, &["redis2"]);
    // Unchanged files are read each 30 s.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_rejected_file_is_retried_when_a_missing_file_appears() {
    let gateway = Gateway::start(&format!("{FILE}{REDIS}"));
    let url = "redis://:${file:password.txt}@127.0.0.1:1";
    gateway.write("tests.toml", &format!("{FILE}[redis2]\nkind = \"redis\"\nurl = \"{url}\"\n"));
    gateway.wait_for_log("cannot read `password.txt`: no such file or directory");
    assert_eq!(names(&gateway), ["redis"]);
    gateway.write("password.txt", "some-password\n");
    wait_for_names(&gateway, &["redis2"]);
    let logged = gateway.log().matches("cannot read `password.txt`").count();
    assert_eq!(logged, 1, "the same diagnostics are logged once: {}", gateway.log());
}

#[test]
fn a_file_in_a_folder_is_a_namespace_from_its_creation_to_its_removal() {
    let gateway = Gateway::start(FILE);
    let code = || get(gateway.address, "token-of-the-other", &[]).status;
    let wait = |expected: u16| {
        wait_for("a status code", || match code() {
            code if code == expected => Ok(()),
            code => Err(code.to_string()),
        });
    };
    gateway.write("other.toml", "namespace = \"tests\"\naccess_token = \"token-of-the-other\"\n");
    gateway.wait_for_log("each file needs its own");
    gateway.write("other.toml", "namespace = \"other\"\naccess_token = \"token-of-the-other\"\n");
    wait(200);
    fs::remove_file(gateway.file("other.toml")).unwrap();
    wait(405);
    assert_eq!(get(gateway.address, TOKEN, &[]).status, 200);
}

#[test]
fn a_changed_password_in_a_file_takes_effect() {
    let redis = Redis::start(&["requirepass first-password"]).unwrap();
    let file = format!(
        "{FILE}[redis]\nurl = \"redis://:${{file:password.txt}}@127.0.0.1:{}\"\n",
        redis.port()
    );
    let gateway =
        Gateway::start_with(&[("password.txt", "wrong-password\n"), ("tests.toml", &file)]);
    assert!(gateway.status("/redis").starts_with("authenticate: "), "{}", gateway.status("/redis"));
    gateway.write("password.txt", "first-password\n");
    gateway.wait_for_status("/redis", "working");
}

#[test]
fn a_password_rotated_in_vault_takes_effect() {
    let (vault, redis) =
        (Vault::start().unwrap(), Redis::start(&["requirepass first-password"]).unwrap());
    let put = |password: &str| {
        let secret = json!({"data": {"password": password}});
        vault.api("POST", "secret/data/tests/redis", &secret).unwrap();
    };
    put("first-password");
    let gateway = Gateway::start(&format!(
        r#"{FILE}[vault]
url = "http://127.0.0.1:{}"
token = "{ROOT_TOKEN}"
[redis]
url = "redis://:${{vault:secret/tests/redis#password}}@127.0.0.1:{}"
"#,
        vault.port(),
        redis.port()
    ));
    gateway.wait_for_status("/redis", "working");
    // A rejected file does not prevent the namespace from using a new secret.
    let good = fs::read_to_string(gateway.file("tests.toml")).unwrap();
    gateway.write("tests.toml", &format!("{good}colour = 'blue'\n"));
    gateway.wait_for_log("config rejected");
    let admin = |words: &[&str]| {
        redis.command(&[&["-a", "first-password", "--no-auth-warning"], words].concat()).unwrap()
    };
    put("second-password");
    assert_eq!(admin(&["CONFIG", "SET", "requirepass", "second-password"]), "OK");
    // The open connection stays authenticated, so only a new one needs the new password.
    let kill = ["-a", "second-password", "--no-auth-warning", "CLIENT", "KILL", "TYPE", "normal"];
    redis.command(&kill).unwrap();
    gateway.wait_for_status("/redis", "working");
}

#[test]
fn a_check_without_its_secret_from_vault_reports_that() {
    let vault = Vault::start().unwrap();
    let gateway = Gateway::start(&format!(
        r#"{FILE}[vault]
url = "http://127.0.0.1:{}"
token = "{ROOT_TOKEN}"
[cache]
data = "redis://:${{vault:secret/tests/none#password}}@127.0.0.1:1"
pages = "redis://127.0.0.1:1"
"#,
        vault.port()
    ));
    gateway.wait_for_status("/cache/data", "read secret: ");
    gateway.wait_for_status("/cache/data", "(vault:secret/tests/none#password)");
    assert_eq!(gateway.status("/cache/pages"), "connect: connection refused (127.0.0.1:1)");
}

#[test]
fn a_file_rejected_for_a_secret_is_retried_when_the_secret_changes() {
    let vault = Vault::start().unwrap();
    let put = |url: &str| {
        vault.api("POST", "secret/data/tests/redis", &json!({"data": {"url": url}})).unwrap();
    };
    put("not-a-url");
    let vault_section =
        format!("[vault]\nurl = \"http://127.0.0.1:{}\"\ntoken = \"{ROOT_TOKEN}\"\n", vault.port());
    let gateway = Gateway::start(&format!("{FILE}{vault_section}{REDIS}"));
    assert_eq!(names(&gateway), ["redis", "vault"]);
    let redis2 = "[redis2]\nkind = \"redis\"\nurl = \"vault:secret/tests/redis#url\"\n";
    gateway.write("tests.toml", &format!("{FILE}{vault_section}{redis2}"));
    gateway.wait_for_log("redis2.url: expected a URL");
    assert_eq!(names(&gateway), ["redis", "vault"]);
    put("redis://127.0.0.1:1");
    // An unknown token makes the gateway read its secrets again.
    assert_eq!(get(gateway.address, "wrong-token", &[]).status, 405);
    wait_for_names(&gateway, &["redis2", "vault"]);
}

#[test]
fn an_emptied_folder_closes_its_namespaces_and_other_folders_are_followed() {
    let other = tempfile::tempdir().unwrap();
    let path = other.path().to_str().unwrap();
    let file = other.path().join("other.toml");
    let text = |token: &str| format!("namespace = \"other\"\naccess_token = \"{token}\"\n");
    fs::write(&file, text("token-of-the-other")).unwrap();
    let gateway = Gateway::start_with_arguments(&[("tests.toml", FILE)], &["--config", path]);
    let wait = |token: &str, expected: u16| {
        wait_for("a status code", || match get(gateway.address, token, &[]).status {
            code if code == expected => Ok(()),
            code => Err(code.to_string()),
        });
    };
    wait("token-of-the-other", 200);
    fs::remove_file(gateway.file("tests.toml")).unwrap();
    gateway.wait_for_log("namespace closed");
    wait(TOKEN, 405);
    fs::write(
        other.path().join("third.toml"),
        text("token-of-the-third").replace("other", "third"),
    )
    .unwrap();
    wait("token-of-the-third", 200);
    // A folder that does not exist contains no files either.
    fs::remove_dir_all(other.path()).unwrap();
    wait("token-of-the-other", 405);
}

#[test]
fn a_reload_that_takes_the_namespace_or_the_token_of_another_is_rejected() {
    let other = "namespace = \"other\"\naccess_token = \"token-of-the-other\"\n";
    let gateway = Gateway::start_with(&[("other.toml", other), ("tests.toml", FILE)]);
    gateway.write("other.toml", &other.replace("\"other\"", "\"tests\""));
    gateway.wait_for_log("each file needs its own");
    gateway.write("other.toml", &other.replace("token-of-the-other", TOKEN));
    gateway.wait_for_log("each namespace needs its own");
    assert_eq!(get(gateway.address, "token-of-the-other", &[]).status, 200);
    assert_eq!(get(gateway.address, TOKEN, &[]).status, 200);
    // The token is free as soon as the other namespace has another one.
    gateway.write("tests.toml", &FILE.replace(TOKEN, "token-after-the-tests"));
    wait_for("the other token", || {
        match get(gateway.address, "token-after-the-tests", &[]).status {
            200 => Ok(()),
            code => Err(code.to_string()),
        }
    });
}

#[test]
fn requests_are_answered_while_a_file_is_renamed() {
    let mut vault = Vault::start().unwrap();
    let secret = json!({"data": {"access_token": "token-in-vault"}});
    vault.api("POST", "secret/data/tests/health", &secret).unwrap();
    let text = format!(
        "namespace = \"tests\"\n[vault]\nurl = \"http://127.0.0.1:{}\"\ntoken = \"{ROOT_TOKEN}\"\n",
        vault.port()
    );
    let gateway = Gateway::start_with(&[("tests.toml", &text)]);
    let code = || get(gateway.address, "token-in-vault", &[]).status;
    assert_eq!(code(), 200);
    // A newly opened namespace could not read its token any more.
    vault.server.stop();
    fs::rename(gateway.file("tests.toml"), gateway.file("renamed.toml")).unwrap();
    gateway.wait_for_log("config renamed");
    assert_eq!(code(), 200);
    gateway.write("renamed.toml", &format!("failure_status = 503\n{text}"));
    wait_for("the new file", || match code() {
        503 => Ok(()),
        code => Err(code.to_string()),
    });
    assert!(!gateway.log().contains("namespace closed"), "{}", gateway.log());
}

#[test]
fn files_swapped_by_a_symbolic_link_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let publish = |version: &str, token: &str| {
        fs::create_dir(path(version)).unwrap();
        let text = format!("namespace = \"linked\"\naccess_token = \"{token}\"\n");
        fs::write(path(version).join("linked.toml"), text).unwrap();
        symlink(version, path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
    };
    publish("..first", "first-linked-token");
    symlink("..data/linked.toml", path("linked.toml")).unwrap();
    let arguments = ["--config", folder.path().to_str().unwrap()];
    let gateway = Gateway::start_with_arguments(&[("tests.toml", FILE)], &arguments);
    assert_eq!(get(gateway.address, "first-linked-token", &[]).status, 200);
    publish("..second", "second-linked-token");
    fs::remove_dir_all(path("..first")).unwrap();
    wait_for("the second token", || {
        match get(gateway.address, "second-linked-token", &[]).status {
            200 => Ok(()),
            code => Err(code.to_string()),
        }
    });
    assert!(!gateway.log().contains("namespace closed"), "{}", gateway.log());
}

#[test]
fn a_pipe_in_a_followed_folder_stops_nothing() {
    let gateway = Gateway::start(FILE);
    mknodat(CWD, gateway.file("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    mknodat(CWD, gateway.file("pipe.toml"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    gateway.wait_for_log("pipe.toml:1: cannot read the file: it is not a regular file");
    gateway.write("other.toml", "namespace = \"other\"\naccess_token = \"${file:pipe}\"\n");
    gateway.wait_for_log("cannot read `pipe`: it is not a regular file");
    gateway.write("other.toml", "namespace = \"other\"\naccess_token = \"token-of-the-other\"\n");
    wait_for("the token", || match get(gateway.address, "token-of-the-other", &[]).status {
        200 => Ok(()),
        code => Err(code.to_string()),
    });
    gateway.report();
}
