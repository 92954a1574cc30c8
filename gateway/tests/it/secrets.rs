//! No secret appears in a response, the log or an error, whatever fails.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use stack::moto::{Keys, Moto};
use stack::redis::Redis;
use stack::vault::{ROOT_TOKEN, Vault};

use crate::configuration::expect_every_kind;
use crate::running::{Gateway, get};

/// Each is used for one setting. Some contain characters that URLs, JSON and TOML must escape.
const ACCESS: &str = "planted-access-token";
const WRONG: &str = "planted-wrong-token";
const HEADER: &str = "planted-header-token";
const POSTGRES: &str = "planted-postgres-password";
const REDIS: &str = "planted-redis-password";
const SENTINEL: &str = "planted-sentinel-password";
const FROM_FILE: &str = "planted/from@file%41";
const FROM_VAULT: &str = "planted\"from\\vault";
const VAULT_TOKEN: &str = "planted-vault-token";
const SECRET_ID: &str = "planted-secret-id";
const RABBIT: &str = "planted-rabbit-password";
const CELERY: &str = "planted-celery-password";
const WEBSOCKET: &str = "planted-websocket-header";
const WEBSOCKET_USER: &str = "planted-websocket-password";
const ACCESS_KEY: &str = "planted-access-key-id";
const SECRET_KEY: &str = "planted/secret+access=key";
const SESSION_TOKEN: &str = "planted-session-token";
const CLICKHOUSE: &str = "planted/clickhouse'password";
const HISTORY: &str = "planted-history-header";
const BAD_URL: &str = "planted-in-a-bad-url";
const BAD_TIME: &str = "planted-as-a-duration";
const BAD_PEM: &str = "planted-as-pem";
const BAD_SYNTAX: &str = "planted-before-a-syntax-error";

/// The secrets, and parts of them as URLs and JSON encode them.
const PLANTED: &[&str] = &[
    ACCESS,
    WRONG,
    HEADER,
    POSTGRES,
    REDIS,
    SENTINEL,
    FROM_FILE,
    FROM_VAULT,
    VAULT_TOKEN,
    SECRET_ID,
    RABBIT,
    CELERY,
    WEBSOCKET,
    WEBSOCKET_USER,
    ACCESS_KEY,
    SECRET_KEY,
    SESSION_TOKEN,
    CLICKHOUSE,
    HISTORY,
    BAD_URL,
    BAD_TIME,
    BAD_PEM,
    BAD_SYNTAX,
    "planted",
    "from%40file",
    "secret%2Baccess",
    "from%22",
    ROOT_TOKEN,
];

fn check(source: &str, text: &str) {
    for secret in PLANTED {
        assert!(!text.contains(secret), "`{secret}` appears in {source}:\n{text}");
    }
}

/// The port of a server that accepts every connection and never answers.
fn silent() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Otherwise the backlog would fill up, and the kernel would accept no more.
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    port
}

/// Servers that fail in different ways.
struct Servers {
    vault: Vault,
    redis: Redis,
    full: Redis,
    silent: u16,
    aws: (Moto, Keys),
}

impl Servers {
    fn start() -> Self {
        let vault = Vault::start().unwrap();
        let secret = json!({"data": {"password": FROM_VAULT}});
        vault.api("POST", "secret/data/tests/redis", &secret).unwrap();
        vault.api("POST", "sys/auth/approle", &json!({"type": "approle"})).unwrap();
        Self {
            vault,
            redis: Redis::start(&["requirepass something-else"]).unwrap(),
            full: Redis::start(&["maxmemory 1"]).unwrap(),
            silent: silent(),
            aws: Moto::start_enforcing_permissions(&["s3:ListBucket"]).unwrap(),
        }
    }

    /// A file that uses every secret for every failure: connection refused, wrong credentials, another protocol, a silent server, a full server.
    fn file(&self) -> String {
        let (vault, redis, full) = (self.vault.port(), self.redis.port(), self.full.port());
        let silent = self.silent;
        let (rabbit, websocket) = (stack::RABBIT, stack::WEBSOCKET);
        let clickhouse = stack::CLICKHOUSE;
        let (moto, keys) = &self.aws;
        let (moto, known_key) = (moto.port(), &keys.id);
        let file = format!(
            r#"namespace = "tests"
access_token = "{ACCESS}"
max_age = "0s"
timeout = "2s"
[vault]
url = "http://127.0.0.1:{vault}"
token = "{ROOT_TOKEN}"
[wrong_vault_token]
kind = "vault"
url = "http://127.0.0.1:{vault}"
token = "{VAULT_TOKEN}"
[wrong_vault_login]
kind = "vault"
url = "http://127.0.0.1:{vault}"
login = "approle"
role_id = "unknown"
secret_id = "{SECRET_ID}"
[vault_at_a_wrong_server]
kind = "vault"
url = "http://127.0.0.1:{redis}"
token = "{VAULT_TOKEN}"
[from_file]
kind = "redis"
url = "redis://:${{file:password.txt}}@127.0.0.1:{redis}"
[from_vault]
kind = "redis"
url = "redis://:${{vault:secret/tests/redis#password}}@127.0.0.1:{redis}"
[sentinel]
kind = "redis"
url = "redis-sentinel://:{REDIS}@127.0.0.1:{redis}/0?sentinelServiceName=main&sentinelPassword={SENTINEL}"
[s3_wrong_secret]
kind = "s3"
[s3_wrong_secret.files]
bucket = "app-files"
access = ["list"]
endpoint_url = "http://127.0.0.1:{moto}"
region = "eu-central-1"
access_key_id = "{known_key}"
secret_access_key = "{SECRET_KEY}"
session_token = "{SESSION_TOKEN}"
[history_wrong_password]
kind = "history"
[history_wrong_password.clickhouse]
url = "http://{clickhouse}"
user = "health"
password = "{CLICKHOUSE}"
table = "events"
[history_wrong_password.api]
url = "http://{clickhouse}/?user=health&password={HISTORY}&query={HISTORY}"
[history_wrong_password.event_bridge]
bus = "history"
rule = "to-history"
api_destination = "history"
connection = "history"
endpoint_url = "http://127.0.0.1:{moto}"
region = "eu-central-1"
access_key_id = "{known_key}"
secret_access_key = "{SECRET_KEY}"
[websocket_rejected]
kind = "websocket"
url = "ws://{websocket}/private"
headers = {{ X-Api-Key = "{WEBSOCKET}", Authorization = "Bearer {WEBSOCKET}" }}
[websocket_quoted]
kind = "websocket"
url = "ws://{websocket}/close/1008/{WEBSOCKET}?key={WEBSOCKET}"
headers = {{ Authorization = "Bearer {WEBSOCKET}" }}
[rabbit_wrong_password]
kind = "rabbit"
url = "amqp://health:{RABBIT}@{rabbit}/app"
[celery_wrong_password]
kind = "celery"
broker = "amqp://health:{CELERY}@{rabbit}/app"
[cluster]
kind = "redis"
url = "redis-cluster://:{REDIS}@127.0.0.1:{full}"
"#
        );
        let kinds =
            [("refused", 1), ("wrong", redis), ("full", full), ("silent", silent), ("http", vault)];
        let sections = kinds.map(|(name, port)| sections_at(name, port));
        let postgres = stack::POSTGRES;
        let wrong_password = format!(
            "[postgres]\nurl = \"postgres://health:{POSTGRES}@{postgres}/app?sslmode=disable\"\n"
        );
        file + &sections.concat() + &wrong_password
    }
}

/// Sections for the server at `port`. Their names contain that of its failure.
fn sections_at(name: &str, port: u16) -> String {
    format!(
        r#"[redis_{name}]
kind = "redis"
url = "redis://health:{REDIS}@127.0.0.1:{port}"
[redis_tls_{name}]
kind = "redis"
url = "rediss://health:{REDIS}@127.0.0.1:{port}"
[rabbit_{name}]
kind = "rabbit"
url = "amqp://health:{RABBIT}@127.0.0.1:{port}/app"
[rabbit_tls_{name}]
kind = "rabbit"
url = "amqps://health:{RABBIT}@127.0.0.1:{port}/app"
[celery_{name}]
kind = "celery"
broker = "redis://health:{CELERY}@127.0.0.1:{port}/1"
result_backend = "redis://health:{CELERY}@127.0.0.1:{port}/2"
canary = true
queues = ["high_priority"]
[websocket_{name}]
kind = "websocket"
url = "ws://health:{WEBSOCKET_USER}@127.0.0.1:{port}/?key={WEBSOCKET}"
[s3_{name}]
kind = "s3"
[s3_{name}.files]
bucket = "app-files"
access = ["list", "read", "write", "delete"]
endpoint_url = "http://127.0.0.1:{port}"
region = "eu-central-1"
access_key_id = "{ACCESS_KEY}"
secret_access_key = "{SECRET_KEY}"
session_token = "{SESSION_TOKEN}"
[cloud_front_{name}]
kind = "cloud_front"
[cloud_front_{name}.api]
distribution = "E123"
endpoint_url = "https://127.0.0.1:{port}"
access_key_id = "{ACCESS_KEY}"
secret_access_key = "{SECRET_KEY}"
[cloud_front_{name}.edge]
domain = "cdn.app.example"
object = "/health.txt"
address = "http://127.0.0.1:{port}"
[history_{name}]
kind = "history"
[history_{name}.clickhouse]
url = "http://127.0.0.1:{port}"
password = "{CLICKHOUSE}"
table = "events"
[history_{name}.e2e]
[history_{name}.event_bridge]
bus = "a"
rule = "b"
api_destination = "c"
connection = "d"
endpoint_url = "http://127.0.0.1:{port}"
region = "eu-central-1"
access_key_id = "{ACCESS_KEY}"
secret_access_key = "{SECRET_KEY}"
[history_{name}.api]
url = "http://127.0.0.1:{port}/health?key={HISTORY}"
headers = {{ X-Api-Key = "{HISTORY}", Authorization = "Bearer {HISTORY}" }}
[cache_{name}]
kind = "cache"
data = "redis://:{REDIS}@127.0.0.1:{port}/3"
[postgres_{name}]
kind = "postgres"
url = "postgres://health:{POSTGRES}@127.0.0.1:{port}/app?sslmode=prefer"
[postgres_tls_{name}]
kind = "postgres"
url = "postgres://health:{POSTGRES}@127.0.0.1:{port}/app?sslmode=verify-full"
"#
    )
}

/// A file with an invalid setting around each secret.
fn bad_file() -> String {
    format!(
        r#"namespace = "tests"
access_token = ["{ACCESS}"]
timeout = "{BAD_TIME}"
authorization = "{HEADER}"
[redis]
url = "redis://:{BAD_URL}@127.0.0.1:port"
private_key = "{BAD_PEM}"
certificate = "{BAD_PEM}"
[redis2]
kind = "{SECRET_ID}"
url = "{BAD_URL}"
[postgres]
url = "postgres://health:{BAD_URL}@127.0.0.1:port/app?sslmode={BAD_URL}"
role = "{BAD_TIME}"
ca = "{BAD_PEM}"
[cache]
data = {{ url = "redis://:{BAD_URL}@[", key_prefix = ["{BAD_URL}"] }}
pages = ["{BAD_URL}"]
[websocket]
url = "ws://user:{BAD_URL}@app:port/?key={BAD_URL}"
headers = {{ Authorization = "{BAD_URL}\n", Upgrade = "{BAD_URL}" }}
origin = "{BAD_URL}\n"
subprotocol = "{BAD_URL} "
expect = "{BAD_URL}"
[s3]
files = "{BAD_URL}"
[s3.more]
bucket = "{BAD_URL}_"
access = ["{BAD_URL}"]
prefix = "{BAD_URL}\n"
object = "{BAD_URL}\n"
region = "{BAD_URL} "
endpoint_url = "http://user:{BAD_URL}@app:port/"
access_key_id = "{BAD_URL} "
secret_access_key = ["{BAD_URL}"]
profile = "{BAD_URL}"
[cloud_front.site]
distribution = "{BAD_URL}"
object = "{BAD_URL}"
domain = "{BAD_URL}.."
address = "http://user:{BAD_URL}@edge/{BAD_URL}"
session_token = "{BAD_URL}"
[history.clickhouse]
url = "http://user:{BAD_URL}@clickhouse:port"
password = "{BAD_URL}\n"
database = ["{BAD_URL}"]
[history.e2e]
id_column = "{BAD_URL}\n"
[history.event_bridge]
bus = "{BAD_URL} "
secret_access_key = "{BAD_URL} "
[history.api]
url = "http://user:{BAD_URL}@history:8080/?key={BAD_URL}#{BAD_URL}"
headers = {{ Authorization = "{BAD_URL}\n", Upgrade = "{BAD_URL}" }}
status = "{BAD_URL}"
[history.files]
bucket = "{BAD_URL}_"
[vault]
url = "http://user:{BAD_URL}@vault:8200:8200"
token = ["{VAULT_TOKEN}"]
login = "{SECRET_ID}"
"#
    )
}

#[test]
fn no_secret_appears_in_any_response_or_the_log() {
    let servers = Servers::start();
    expect_every_kind(&servers.file(), "gateway/tests/it/secrets.rs");
    let gateway = Gateway::start_with(&[
        ("password.txt", &format!("{FROM_FILE}\n")),
        ("tests.toml", &servers.file()),
    ]);
    gateway.wait_for_log("config reloaded");
    for _ in 0..3 {
        for headers in [&[][..], &["Accept: text/html"], &["Prefer: wait=0"]] {
            let answer = get(gateway.address, ACCESS, headers);
            assert_eq!(answer.status, 200);
            assert!(!answer.body.contains("not read from vault yet"), "{}", answer.body);
            check("an answer", &format!("{answer:?}"));
        }
    }
    // Each check fails as intended, so the report without secrets is not empty.
    let report = gateway.report_with(ACCESS, &["Cache-Control: no-cache"]);
    for (path, step) in [
        ("/redis_refused", "connect: "),
        ("/redis_wrong", "authenticate: "),
        ("/from_file", "authenticate: "),
        ("/from_vault", "authenticate: "),
        ("/postgres", "authenticate: "),
        ("/wrong_vault_token", ""),
        ("/wrong_vault_login", "login: "),
        ("/websocket_rejected", "authenticate: the server answered 401 "),
        ("/s3_refused/files", "connect: "),
        ("/s3_silent/files", "list: no answer "),
        ("/s3_wrong_secret/files", "authenticate: "),
        ("/cloud_front_refused/api", "connect: "),
        ("/cloud_front_http/api", "tls: "),
        ("/cloud_front_wrong/edge", "fetch: "),
        ("/history_wrong_password/clickhouse", "authenticate: "),
        ("/history_wrong_password/event_bridge.rule", "authenticate: "),
        ("/history_wrong_password/api", "authenticate: expected status 200, got 401 "),
        ("/history_refused/e2e", "connect: "),
        ("/history_silent/api", "get: no answer "),
        ("/websocket_quoted", "ping: the server closed the WebSocket with code 1008 "),
    ] {
        let status = crate::running::status(&report, path);
        assert!(status.starts_with(step) && status != "working", "{path}: {status}");
    }
    for _ in 0..2 {
        assert_eq!(get(gateway.address, WRONG, &[]).status, 405);
        let header = format!("Authorization: JWT {HEADER}");
        let answer = get(gateway.address, ACCESS, &[&header]);
        assert_eq!(answer.status, 405);
        check("the answer to a wrong token", &format!("{answer:?}"));
    }
    gateway.write("tests.toml", &bad_file());
    gateway.wait_for_log("config rejected");
    gateway.write("tests.toml", &format!("[redis]\nurl = \"{BAD_SYNTAX}\nmore = '{BAD_SYNTAX}"));
    gateway.wait_for_log("invalid basic string");
    check("the log", &gateway.log());
    for line in gateway.log().lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
    }
}

/// The lines of checks with the URL `url`, with a secret in Vault that has all its parts, and the log.
fn lines_with_parts_in_vault(parts: &Value, urls: &[(&str, &str)]) -> (Vec<String>, String) {
    let vault = Vault::start().unwrap();
    vault.api("POST", "secret/data/tests/all", &json!({ "data": parts })).unwrap();
    let head = format!(
        "namespace = \"tests\"\naccess_token = \"{ACCESS}\"\n[vault]\nurl = \"http://127.0.0.1:{}\"\ntoken = \"{ROOT_TOKEN}\"\n",
        vault.port()
    );
    let sections = urls.iter().map(|(name, url)| {
        let url = url.replace('<', "${vault:secret/tests/all#").replace('>', "}");
        format!("[{name}]\nkind = \"{}\"\nurl = \"{url}\"\n", name.trim_end_matches('_'))
    });
    let gateway = Gateway::start(&(head + &sections.collect::<String>()));
    gateway.wait_for_log("config reloaded");
    let report = gateway.report_with(ACCESS, &["Cache-Control: no-cache"]);
    let lines = urls.iter().map(|(name, _)| crate::running::status(&report, &format!("/{name}")));
    (lines.collect(), gateway.log())
}

#[test]
fn what_is_stored_beside_a_password_in_vault_is_shown() {
    let port = stack::free_port().unwrap();
    let shared = stack::postgres::shared().unwrap().port();
    let parts = json!({
        "host": "127.0.0.1", "port": port, "username": "health", "password": POSTGRES, "dbname": "app",
        "url": format!("redis://health:{REDIS}@127.0.0.1:{port}/1"),
    });
    let (lines, log) = lines_with_parts_in_vault(
        &parts,
        &[
            ("redis", &format!("redis://health:<password>@127.0.0.1:{port}")),
            ("postgres", "postgres://<username>:<password>@<host>:<port>/<dbname>"),
            ("redis_", "<url>"),
            ("postgres_", &format!("postgres://<username>:<password>@<host>:{shared}/<dbname>")),
        ],
    );
    let refused = format!("connect: connection refused (127.0.0.1:{port})");
    assert_eq!(lines[..3], [&*refused, &refused, &refused]);
    let expected = format!(
        "authenticate: password authentication failed for user \"health\", SQLSTATE 28P01 (127.0.0.1:{shared})"
    );
    assert_eq!(lines[3], expected);
    check("the log", &log);
}

#[test]
fn a_secret_that_cannot_be_masked_is_noted() {
    let file = r#"namespace = "r"
access_token = "0123456789abcdef"
[redis]
url = "redis://:app@redis"
[postgres]
url = "postgres://health:1234@db/app"
[websocket]
url = "wss://health:guest@app/ws"
[history.clickhouse]
url = "http://clickhouse:8123"
table = "events"
password = "password"
[redis2]
kind = "redis"
url = "redis://:kiwi7@redis"
"#;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("r.toml"), file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
        .args(["check-config", "r.toml"])
        .current_dir(&folder)
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let notes: Vec<_> = text.lines().filter(|line| line.contains("note: ")).collect();
    let note = |place: &str| {
        format!(
            "note: r.toml:{place}: its secret is too short or too common to be masked in error texts, expected at least 8 characters that are no common word"
        )
    };
    let expected =
        ["4: redis.url", "6: postgres.url", "8: websocket.url", "12: history.clickhouse.password"];
    assert_eq!(notes, expected.map(note), "{text}");
    assert!(output.status.success());
}

#[test]
fn no_secret_appears_in_the_output_of_check_config() {
    let folder = tempfile::tempdir().unwrap();
    let syntax = format!("a = \"{BAD_SYNTAX}\nb = {BAD_SYNTAX}\n{BAD_SYNTAX}\n[{BAD_SYNTAX}\n");
    let reference = format!("namespace = \"r\"\n[redis]\nurl = \"redis://:{BAD_URL}@${{none}}\"\n");
    for (name, text) in
        [("bad.toml", bad_file()), ("syntax.toml", syntax), ("reference.toml", reference)]
    {
        fs::write(folder.path().join(name), text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
            .args(["check-config", name])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains(name), "{errors}");
        check("an error", &errors);
        check("the output", &String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn no_secret_appears_in_the_output_of_probe() {
    let servers = Servers::start();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("password.txt"), format!("{FROM_FILE}\n")).unwrap();
    fs::write(folder.path().join("tests.toml"), servers.file()).unwrap();
    fs::write(folder.path().join("bad.toml"), bad_file()).unwrap();
    for (arguments, code) in [
        (&["--config", "tests.toml"][..], 1),
        (&["--config", "tests.toml", "--json"], 1),
        (&["--config", "bad.toml"], 2),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_health-gateway"))
            .arg("probe")
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{printed}{errors}");
        // The secret was read from Vault, and rejected by its server.
        assert_eq!(printed.contains("authenticate: "), code == 1, "{printed}");
        assert!(!printed.contains("not read from vault yet"), "{printed}");
        check("the output", &printed);
        check("an error", &errors);
    }
}
