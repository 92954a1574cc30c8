//! `health-gateway permissions`: the printed grants suffice, and each of them is needed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use gateway::permissions::permissions;
use probe::{Grant, statements};
use serde_json::{Value, json};
use stack::aws::REGION;
use stack::celery::{App, Pool};
use stack::localstack::{APP_BUCKET, BUS, CONNECTION, DESTINATION, RULE};
use stack::moto::Moto;
use stack::postgres::Postgres;
use stack::rabbit::Rabbit;
use stack::redis::Redis;
use stack::vault::Vault;
use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};
use tempfile::TempDir;

use crate::running::{FILE, Gateway, TOKEN, get};

const QUEUE: &str = "high_priority";

fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_health-gateway"));
    command.args(arguments).current_dir(folder).output().unwrap()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The output and the errors for one file, of a command that exits with `code`.
fn printed(file: &str, code: i32) -> (String, String) {
    let folder = folder(&[("tests.toml", file)]);
    let output = run(&["permissions", "tests.toml"], folder.path());
    let [printed, errors] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(code), "{printed}{errors}");
    (printed, errors)
}

#[test]
fn the_stacks_users_have_the_grants_that_are_printed_for_the_demo() {
    stack::redis::shared().unwrap();
    let demo = stack::demo_config();
    let output = run(&["permissions", demo.to_str().unwrap()], Path::new("/"));
    let printed = String::from_utf8(output.stdout).unwrap();
    let distribution = stack::moto::shared_distribution().unwrap().id;
    let file = stack::workspace().join("crates/stack/src/permissions.txt");
    let granted = std::fs::read_to_string(&file).unwrap();
    let printed = printed.replace(&distribution, "DISTRIBUTION");
    assert_eq!(granted, printed, "{} must equal the output", file.display());
}

#[test]
fn the_documented_output_is_the_real_one() {
    let read = |path| std::fs::read_to_string(stack::workspace().join(path)).unwrap();
    let (page, granted) = (read("docs/permissions.md"), read("crates/stack/src/permissions.txt"));
    let example = page.split("```").find(|part| part.starts_with("text\n# ")).unwrap();
    for block in example.trim_start_matches("text\n").trim_end().split("\n\n") {
        assert!(granted.contains(block), "docs/permissions.md: {block}");
    }
}

/// Asserts that the gateway works with all grants that are printed for servers of this `system`, and fails without any one of them, with an error that contains `denied`.
///
/// `grant` replaces all previous grants.
fn assert_each_grant_is_needed(
    system: &str,
    file: &str,
    denied: &str,
    grant: impl Fn(&str),
    works: impl Fn(&Path) -> Result<(), String>,
) {
    let folder = folder(&[("tests.toml", file)]);
    let all = permissions(&[folder.path().to_owned()]).unwrap();
    let of_system = |grant: &&Grant| grant.principal.to_string().starts_with(system);
    let grants: BTreeSet<_> = all.grants().iter().filter(of_system).cloned().collect();
    let without = |missing: &Grant| -> BTreeSet<Grant> {
        grants.iter().filter(|grant| *grant != missing).cloned().collect()
    };
    let text = |grants: BTreeSet<Grant>| statements(grants).into_values().collect::<String>();
    let printed = printed(file, 0).0;
    for block in statements(grants.clone()).values() {
        assert!(printed.contains(block), "{block} is not in {printed}");
    }
    let whole = text(grants.clone());
    assert!(!whole.is_empty(), "nothing is printed for {system}");
    grant(&whole);
    works(folder.path()).unwrap();
    for missing in &grants {
        grant(&text(without(missing)));
        let error = works(folder.path()).expect_err(&format!("{missing:?} is not needed"));
        assert!(error.contains(denied), "without {missing:?}: {error}");
    }
}

/// Runs `health-gateway probe`, and returns its output if a check fails.
fn probe(folder: &Path) -> Result<(), String> {
    let output = run(&["probe", "--config", "tests.toml"], folder);
    let table = String::from_utf8(output.stdout).unwrap();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(table),
        code => panic!("{code:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Replaces the user by one with these rules.
fn grant_redis(server: &Redis, lines: &str) {
    let command = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        server.command(&words).unwrap()
    };
    command(&format!("ACL DELUSER {HEALTH_USER}"));
    for line in lines.lines() {
        assert_eq!(command(line), "OK", "{line}");
    }
    assert_eq!(command(&format!("ACL SETUSER {HEALTH_USER} on >{HEALTH_PASSWORD}")), "OK");
}

fn redis_url(server: &Redis, database: u8) -> String {
    format!("redis://{HEALTH_USER}:{HEALTH_PASSWORD}@127.0.0.1:{}/{database}", server.port())
}

#[test]
fn each_rule_for_a_redis_is_needed() {
    let server = Redis::start(&[]).unwrap();
    let [first, second] = [0, 1].map(|database| redis_url(&server, database));
    for sections in [
        format!("[redis]\nurl = \"{first}\"\n"),
        format!("[redis]\nurl = \"{first}\"\nwritable = false\n"),
        format!("[redis]\nurl = \"{second}\"\nkey_prefix = \"a*[b\"\n"),
        format!("[redis]\nurl = \"{first}\"\n[cache]\ndata = \"{second}\"\n"),
    ] {
        let file = format!("{FILE}{sections}");
        assert_each_grant_is_needed(
            "Redis",
            &file,
            "NOPERM",
            |lines| grant_redis(&server, lines),
            probe,
        );
    }
}

#[test]
fn each_rule_for_a_redis_in_a_cluster_is_needed() {
    let node = Redis::start(&["cluster-enabled yes", "cluster-announce-ip 127.0.0.1"]).unwrap();
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).unwrap();
    node.wait_for(&["CLUSTER", "INFO"], "cluster_state:ok").unwrap();
    let url = redis_url(&node, 0).replace("redis://", "redis-cluster://").replace("/0", "");
    for lines in ["", "writable = false\n"] {
        let file = format!("{FILE}[redis]\nurl = \"{url}\"\n{lines}");
        assert_each_grant_is_needed(
            "Redis",
            &file,
            "NOPERM",
            |lines| grant_redis(&node, lines),
            probe,
        );
    }
}

#[test]
fn each_rule_for_a_redis_behind_sentinel_is_needed() {
    let primary = Redis::start(&[]).unwrap();
    let monitor = format!("sentinel monitor app 127.0.0.1 {} 1", primary.port());
    let sentinel = Redis::start_sentinel(&[&monitor]).unwrap();
    let file = format!(
        "{FILE}[redis]\nurl = \"redis-sentinel://{HEALTH_USER}:{HEALTH_PASSWORD}@127.0.0.1:{}/1\
         ?sentinelServiceName=app&sentinelUsername={HEALTH_USER}&sentinelPassword={HEALTH_PASSWORD}\"\n",
        sentinel.port()
    );
    let grant = |lines: &str| {
        let of_sentinel = |line: &&str| line.contains("+sentinel|");
        let (own, others): (Vec<_>, Vec<_>) = lines.lines().partition(of_sentinel);
        grant_redis(&sentinel, &own.join("\n"));
        grant_redis(&primary, &others.join("\n"));
    };
    assert_each_grant_is_needed("Redis", &file, "NOPERM", grant, probe);
}

#[test]
fn each_rule_for_the_store_of_shared_results_is_needed() {
    let server = Redis::start(&[]).unwrap();
    let url = redis_url(&server, 1);
    let rabbit = "[rabbit]\nurl = \"amqp://127.0.0.1:1\"\nshare = true\n";
    let file = format!("{FILE}{rabbit}[share]\nstore = \"{url}\"\nprefix = \"a:b\"\n");
    let grant = |lines: &str| {
        // Otherwise, no whole script would be sent.
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
        grant_redis(&server, lines);
    };
    let is_used = |_: &Path| {
        let gateway = Gateway::start(&file);
        gateway.wait_for_log("share store ");
        let log = gateway.log();
        if log.contains("share store available") { Ok(()) } else { Err(log) }
    };
    assert_each_grant_is_needed("Redis", &file, "share store unavailable", grant, is_used);
}

#[test]
fn each_privilege_on_a_database_is_needed() {
    // Messages are visible to clients with this setting, so they do not take the place of the table.
    let server = Postgres::start(&["wal_level = logical"]).unwrap();
    let port = server.port();
    let url = format!(
        "postgres://{HEALTH_USER}:{HEALTH_PASSWORD}@127.0.0.1:{port}/{POSTGRES_DATABASE}?sslmode=disable"
    );
    server.sql("app", "CREATE SCHEMA data; CREATE TABLE data.events ()").unwrap();
    let grant = |text: &str| {
        let tables = "REVOKE ALL ON SCHEMA data FROM health; REVOKE ALL ON data.events FROM health";
        server.sql("app", tables).unwrap();
        let revoke = format!("REVOKE ALL ON DATABASE {POSTGRES_DATABASE} FROM {HEALTH_USER};\n");
        server.sql("postgres", &(revoke + text)).unwrap();
    };
    let file = format!("{FILE}[postgres]\nurl = \"{url}\"\n");
    let newest_transaction =
        || server.sql("app", "SELECT pg_snapshot_xmax(pg_current_snapshot())").unwrap();
    let proves_commit = |folder: &Path| {
        let before = newest_transaction();
        probe(folder)?;
        if newest_transaction() == before {
            return Err("permission denied for database: nothing was written".to_owned());
        }
        Ok(())
    };
    let denied = "permission denied for database";
    assert_each_grant_is_needed("PostgreSQL", &file, denied, grant, proves_commit);
    for setting in ["role = \"any\"", "write = \"off\"", "write = \"message\""] {
        let file = format!("{file}{setting}\n");
        assert_each_grant_is_needed("PostgreSQL", &file, denied, grant, probe);
    }
    let file = format!("{file}write = \"off\"\ntable = \"data.events\"\n");
    assert_each_grant_is_needed("PostgreSQL", &file, "permission denied for ", grant, probe);
}

/// Splits a line into words like a shell.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, piece) in line.split('\'').enumerate() {
        let mut plain = piece.split(' ');
        if at % 2 == 1 {
            words.last_mut().unwrap().push_str(piece);
            continue;
        }
        words.last_mut().unwrap().push_str(plain.next().unwrap());
        words.extend(plain.map(str::to_owned));
    }
    words
}

#[test]
fn each_permission_for_rabbitmq_is_needed() {
    let broker = Rabbit::start(&[]).unwrap();
    let app = App::new(&broker.admin_url(), "rpc://").unwrap();
    let _worker = app.worker("w1", Pool::Prefork, &[QUEUE]).unwrap();
    let grant = |text: &str| {
        for line in text.lines() {
            let words = words(line);
            assert_eq!(words[0], "rabbitmqctl");
            let words: Vec<_> = words[1..].iter().map(String::as_str).collect();
            broker.ctl(&words).unwrap();
        }
    };
    let url = broker.url(HEALTH_USER, HEALTH_PASSWORD);
    let rabbit = format!("[rabbit]\nurl = \"{url}\"\nqueue_prefix = \"a+b.\"\n");
    let celery = format!(
        "[celery]\nbroker = \"{url}\"\nresult_backend = \"rpc://\"\ncanary = true\nqueues = [\"{QUEUE}\"]\n"
    );
    for sections in [rabbit, celery] {
        let file = format!("{FILE}timeout = \"20s\"\n{sections}");
        assert_each_grant_is_needed("RabbitMQ", &file, "ACCESS_REFUSED", grant, probe);
    }
}

#[test]
fn each_path_in_vault_is_needed() {
    let (vault, redis) = (Vault::start().unwrap(), Redis::start(&["requirepass pw-1"]).unwrap());
    let api = |method: &str, path: &str, body: Value| vault.api(method, path, &body).unwrap();
    for (name, key, value) in [("health", "access_token", TOKEN), ("redis", "password", "pw-1")] {
        api("POST", &format!("secret/data/tests/{name}"), json!({"data": {key: value}}));
    }
    api("POST", "sys/auth/approle", json!({"type": "approle"}));
    let role = "auth/approle/role/me";
    api("POST", role, json!({"token_policies": ["me"]}));
    let role_id = api("GET", &format!("{role}/role-id"), Value::Null);
    let secret_id = api("POST", &format!("{role}/secret-id"), json!({}));
    let file = format!(
        "namespace = \"tests\"\nmax_age = \"0s\"\n\
         [vault]\nurl = \"http://127.0.0.1:{}\"\nlogin = \"approle\"\nrole_id = {}\nsecret_id = {}\n\
         [other]\nkind = \"redis\"\nurl = \"redis://:${{vault:secret/tests/redis#password}}@127.0.0.1:{}\"\n",
        vault.port(),
        role_id["data"]["role_id"],
        secret_id["data"]["secret_id"],
        redis.port()
    );
    let grant = |text: &str| drop(api("PUT", "sys/policies/acl/me", json!({"policy": text})));
    let works = |folder: &Path| {
        let gateway = Gateway::start(&std::fs::read_to_string(folder.join("tests.toml")).unwrap());
        let answer = get(gateway.address, TOKEN, &[]);
        let all = serde_json::from_str(&answer.body).is_ok_and(|report: Value| {
            ["/other/status", "/vault/status"]
                .map(|path| report.pointer(path) == Some(&json!("working")))
                == [true; 2]
        });
        if answer.status == 200 && all {
            Ok(())
        } else {
            Err(format!("{}\n{}", answer.body, gateway.log()))
        }
    };
    assert_each_grant_is_needed("Vault", &file, "permission denied", grant, works);
}

#[test]
fn each_action_on_aws_is_needed() {
    let (moto, keys) = Moto::start_enforcing_permissions(&["sts:GetCallerIdentity"]).unwrap();
    let settings = format!(
        "region = \"{REGION}\"\nendpoint_url = \"http://127.0.0.1:{}\"\naccess_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
        moto.port(),
        keys.id,
        keys.secret
    );
    let distribution = moto.distribution().unwrap().id;
    let file = format!(
        "{FILE}\
         [cloud_front.site]\ndistribution = \"{distribution}\"\n{settings}\
         [s3.files]\nbucket = \"{APP_BUCKET}\"\npath_style = true\naccess = [\"list\", \"read\", \"write\", \"delete\"]\n{settings}\
         [history.event_bridge]\nbus = \"{BUS}\"\nrule = \"{RULE}\"\napi_destination = \"{DESTINATION}\"\nconnection = \"{CONNECTION}\"\n{settings}"
    );
    let grant = |text: &str| {
        let mut policy: Value = serde_json::from_str(text).unwrap();
        for statement in policy["Statement"].as_array_mut().unwrap() {
            // The server determines the resource of a request only for S3.
            if !statement["Resource"].as_str().unwrap().starts_with("arn:aws:s3:") {
                statement["Resource"] = json!("*");
            }
        }
        let policy = json!({"UserName": HEALTH_USER, "PolicyName": HEALTH_USER, "PolicyDocument": policy.to_string()});
        moto.aws.call("iam", "put_user_policy", &policy).unwrap();
    };
    assert_each_grant_is_needed("AWS IAM", &file, "access denied", grant, probe);
}

#[test]
fn no_value_of_a_reference_is_needed() {
    let file = "namespace = \"a\"\n\
        [vault]\nurl = \"https://vault\"\ntoken = \"${file:/nowhere/token}\"\n\
        [postgres]\n\
        url = \"postgres://${vault:secret/a/db#user}:${vault:secret/a/db#password}@${env:NOWHERE}/app\"\n\
        ca = \"${file:/nowhere/ca.pem}\"\n\
        [redis]\nurl = \"rediss://health:${env:NOT_SET}@cache:6379\"\n\
        [websocket]\nurl = \"wss://app\"\n";
    let expected = "\
# PostgreSQL at $NOWHERE:5432 for ${vault:secret/a/db#user}
# needed by postgres
GRANT CONNECT ON DATABASE \"app\" TO \"${vault:secret/a/db#user}\";
GRANT TEMPORARY ON DATABASE \"app\" TO \"${vault:secret/a/db#user}\";

# Redis at cache:6379 for health
# needed by redis
ACL SETUSER health resetkeys resetchannels -@all ~health-gateway:* +del +set

# Vault at vault:443 for the token of the configuration
# needed by references
# The policy `default` of Vault allows the token to look itself up, to renew and to revoke itself.
# The paths assume stores of version 2, mounted at the first segment; version 1 has no `data/`.
path \"secret/data/a/db\" {
  capabilities = [\"read\"]
}
path \"secret/data/a/health\" {
  capabilities = [\"read\"]
}
";
    assert_eq!(printed(file, 0), (expected.to_owned(), String::new()));
}

#[test]
fn an_unknown_value_is_reported_and_fails() {
    let file = format!(
        "{FILE}[vault]\nurl = \"http://vault\"\ntoken = \"t\"\n\
         [cache]\ndata = \"redis://cache\"\npages = \"vault:secret/a#url\"\n"
    );
    let (printed, errors) = printed(&file, 1);
    assert!(printed.contains("# Redis at cache:6379 for default\n# needed by cache.data\n"));
    assert_eq!(errors, "tests.toml: cache.pages: not known without `${vault:secret/a#url}`\n");
}

#[test]
fn an_invalid_file_is_reported_as_by_check_config() {
    let folder = folder(&[(
        "tests.toml",
        &format!("{FILE}[redis]\nurl = \"http://${{env:NOWHERE}}\"\ncolour = 1\n"),
    )]);
    let [printed, checked] = ["permissions", "check-config"].map(|command| {
        let output = run(&[command, "."], folder.path());
        assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
        String::from_utf8(output.stderr).unwrap()
    });
    let unknown_key = "./tests.toml:6: redis: unknown key `colour`, expected one of";
    assert!(
        printed.starts_with(unknown_key) && checked.contains(unknown_key),
        "{printed}\n{checked}"
    );
}

#[test]
fn several_namespaces_are_printed_together() {
    let section = |name: &str, section: &str| {
        format!(
            "namespace = \"{name}\"\naccess_token = \"{name}\"\n[{section}]\nkind = \"redis\"\nurl = \"redis://me:@cache/1\"\n"
        )
    };
    let folder = folder(&[("a.toml", &section("a", "x")), ("b.toml", &section("b", "y"))]);
    let output = run(&["permissions", "."], folder.path());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "# Redis at cache:6379 for me\n# needed by a/x, b/y\n\
         ACL SETUSER me resetkeys resetchannels -@all ~health-gateway:* +del +select +set\n"
    );
}
