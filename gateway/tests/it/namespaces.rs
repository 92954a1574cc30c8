//! Several and many namespaces in one process, with their tokens in a real Vault.

use serde_json::{Value, json};
use stack::vault::{ROOT_TOKEN, Vault};

use crate::running::{Gateway, get, wait_for};

#[test]
fn a_lost_secret_of_one_namespace_fails_no_check_of_another() {
    let vault = Vault::start().unwrap();
    let section =
        format!("[vault]\nurl = \"http://127.0.0.1:{}\"\ntoken = \"{ROOT_TOKEN}\"\n", vault.port());
    let token = |name| format!("token-of-the-namespace-{name}");
    let files = ["one", "two"].map(|name| {
        let value = json!({"data": {"access_token": token(name)}});
        vault.api("POST", &format!("secret/data/{name}/health"), &value).unwrap();
        (format!("{name}.toml"), format!("namespace = \"{name}\"\nmax_age = \"0s\"\n{section}"))
    });
    let gateway = Gateway::start_with(&files.each_ref().map(|(name, text)| (&**name, &**text)));
    for name in ["one", "two"] {
        wait_for("the access tokens", || match get(gateway.address, &token(name), &[]).status {
            200 => Ok(()),
            status => Err(status.to_string()),
        });
    }
    vault.api("DELETE", "secret/data/one/health", &Value::Null).unwrap();
    let vault_of = |name| gateway.report_with(&token(name), &[])["vault"].to_string();
    let deleted =
        "read secret: the latest version of `secret/one/health` was deleted, the value of ";
    wait_for("the deleted secret", || {
        // The secrets are read again after a wrong token.
        get(gateway.address, "a-wrong-token", &[]);
        let report = vault_of("one");
        if report.contains(deleted) { Ok(()) } else { Err(report) }
    });
    let report = vault_of("two");
    assert!(report.contains("\"working\"") && !report.contains("secret/one"), "{report}");
}

/// Takes a minute, since hundreds of namespaces are started twice.
mod slow {
    use std::fmt::{self, Write as _};
    use std::fs;
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};
    use stack::redis::Redis;
    use stack::vault::{ROOT_TOKEN, Vault};

    use crate::running::{Gateway, get, percentile_99, wait_for};

    const PASSWORD: &str = "password-of-all-namespaces";

    /// What a gateway with some namespaces costs.
    struct Costs {
        /// Processor time until the last token was read, and time.
        start: (Duration, Duration),
        resident_kilobytes: u64,
        /// Processor time of ten seconds without requests.
        rest: Duration,
        reload: Duration,
        fresh: Duration,
        cached: Duration,
    }

    impl fmt::Display for Costs {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self { start: (cpu, time), resident_kilobytes, rest, reload, fresh, cached } = self;
            write!(
                f,
                "start {cpu:.2?} of processor time in {time:.2?}, {resident_kilobytes} kB, "
            )?;
            write!(f, "at rest {rest:.0?} in 10 s, reload {reload:.0?}, ")?;
            write!(f, "fresh report {fresh:.1?}, cached {cached:.1?} (99th percentiles)")
        }
    }

    /// An `AppRole` that all namespaces log in with.
    fn prepare(vault: &Vault) -> String {
        let call = |method, path: &str, body| vault.api(method, path, &body).unwrap();
        call("POST", "sys/auth/approle", json!({"type": "approle"}));
        let policy = "path \"secret/data/*\" { capabilities = [\"read\"] }";
        call("PUT", "sys/policies/acl/health", json!({"policy": policy}));
        let role = "auth/approle/role/health";
        call("POST", role, json!({"token_policies": ["health"]}));
        let role_id = call("GET", &format!("{role}/role-id"), Value::Null);
        let secret_id = call("POST", &format!("{role}/secret-id"), json!({}));
        call("POST", "secret/data/shared/redis", json!({"data": {"password": PASSWORD}}));
        format!(
            "[vault]\nurl = \"http://127.0.0.1:{}\"\nlogin = \"approle\"\nrole_id = {}\nsecret_id = {}\n",
            vault.port(),
            role_id["data"]["role_id"],
            secret_id["data"]["secret_id"],
        )
    }

    /// How often the secrets below `secret/` were read, and how many tokens are valid.
    fn counts(vault: &Vault) -> (u64, usize) {
        let path = "/v1/sys/metrics?format=prometheus";
        let header = format!("X-Vault-Token: {ROOT_TOKEN}");
        let address = SocketAddr::from(([127, 0, 0, 1], vault.port()));
        let metrics = stack::http::request(address, "GET", path, &[&header], "").unwrap().body;
        let reads =
            metrics.lines().find_map(|line| line.strip_prefix("vault_route_read_secret__count "));
        let tokens = vault.api("LIST", "auth/token/accessors", &Value::Null).unwrap();
        let tokens = tokens["data"]["keys"].as_array().unwrap().len();
        (reads.map_or(0, |it| it.parse().unwrap()), tokens)
    }

    fn resident_kilobytes(pid: i32) -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn token(number: usize) -> String {
        format!("token-of-the-namespace-{number:03}")
    }

    /// Each namespace has a connection to Redis of its own and 20 checks; all have the same password and login.
    fn measure(vault: &Vault, login: &str, redis: &Redis, count: usize) -> Costs {
        let files: Vec<_> = (0..count)
            .map(|number| {
                let value = json!({"data": {"access_token": token(number)}});
                vault.api("POST", &format!("secret/data/n{number:03}/health"), &value).unwrap();
                let mut text = format!("namespace = \"n{number:03}\"\n{login}");
                let address = format!("127.0.0.1:{}", redis.port());
                // Connections with other settings are not shared.
                let reconnect = 30_000 + number;
                for check in 0..19 {
                    let password = "${vault:secret/shared/redis#password}";
                    let url = format!("redis://health:{password}@{address}/{}", check % 16);
                    writeln!(text, "[cache.c{check}]\nurl = \"{url}\"").unwrap();
                    writeln!(text, "reconnect = \"{reconnect}ms\"").unwrap();
                }
                (format!("n{number:03}.toml"), text)
            })
            .collect();
        let borrowed: Vec<_> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
        let (before, begun) = (counts(vault), Instant::now());
        let gateway = Gateway::start_with(&borrowed);
        let pid = gateway.server.pid().unwrap();
        // A token before its time would cause further reads.
        wait_for("the secrets of each namespace", || {
            let reloaded = gateway.log().matches("config reloaded").count();
            if reloaded == count { Ok(()) } else { Err(reloaded.to_string()) }
        });
        let start = (gateway.server.processor_time().unwrap(), begun.elapsed());
        let after = counts(vault);
        assert_eq!(after.1 - before.1, 1, "one session with Vault");
        let reads = usize::try_from(after.0 - before.0).unwrap();
        assert!(reads <= count + 5, "{reads} reads of {} secrets", count + 1);
        for number in 0..count {
            let report = gateway.report_with(&token(number), &[]).to_string();
            assert_eq!(report.matches("\"working\"").count(), 20, "{report}");
        }
        let resident_kilobytes = resident_kilobytes(pid);
        let last = token(count - 1);
        let end = Instant::now() + Duration::from_secs(2);
        let fresh = percentile_99(end, || {
            assert_eq!(get(gateway.address, &last, &["Cache-Control: no-cache"]).status, 200);
        });
        let end = Instant::now() + Duration::from_secs(2);
        let cached = percentile_99(end, || {
            let headers = ["Cache-Control: max-age=3600"];
            assert_eq!(get(gateway.address, &last, &headers).status, 200);
        });
        let (name, text) = files.last().unwrap();
        let begun = Instant::now();
        gateway.write(name, &text.replace("cache.c7", "cache.renamed"));
        wait_for("the new name of a check", || {
            let report = gateway.report_with(&last, &[]).to_string();
            if report.contains("renamed") { Ok(()) } else { Err(report) }
        });
        let reload = begun.elapsed();
        let before = gateway.server.processor_time().unwrap();
        std::thread::sleep(Duration::from_secs(10));
        let rest = gateway.server.processor_time().unwrap().checked_sub(before).unwrap();
        Costs { start, resident_kilobytes, rest, reload, fresh, cached }
    }

    #[test]
    fn two_hundred_namespaces_cost_four_times_as_much_as_fifty() {
        let vault = Vault::start().unwrap();
        let login = prepare(&vault);
        let redis = Redis::start(&[&format!("user health on >{PASSWORD} ~* &* +@all")]).unwrap();
        let few = measure(&vault, &login, &redis, 50);
        println!("50 namespaces: {few}");
        let many = measure(&vault, &login, &redis, 200);
        println!("200 namespaces: {many}");
        assert!(many.start.0 < 6 * few.start.0, "{:?} and {:?}", few.start, many.start);
    }
}
