//! Copies of secrets in the memory of the process.

/// Takes seconds, since the memory is read some time after the start.
mod slow {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt as _;
    use std::time::{Duration, Instant};

    use serde_json::Value;

    use crate::running::{Gateway, percentile_99, wait_for};

    /// How often `needle` is in the memory that the process can write to.
    fn copies(pid: i32, needle: &str) -> usize {
        let memory = File::open(format!("/proc/{pid}/mem")).expect("root may read it");
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let mut found = 0;
        for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw")) {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let [start, end] = [start, end].map(|it| u64::from_str_radix(it, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            if memory.read_exact_at(&mut bytes, start).is_ok() {
                found += memchr::memmem::find_iter(&bytes, needle).count();
            }
        }
        found
    }

    fn failures(report: &Value) -> String {
        let statuses = report.to_string();
        statuses.split("\"status\":").skip(1).filter(|it| !it.starts_with("\"working")).collect()
    }

    /// The bounds are what remains, and some room for a copy in memory that was freed: see docs/reliability.md.
    #[test]
    fn few_copies_of_a_password_are_in_memory_after_the_start_and_after_its_rotation() {
        stack::redis::shared().unwrap();
        let demo = fs::read_to_string(stack::demo_config()).unwrap();
        let mut text = demo.replace("${file:", &format!("${{file:{}/", stack::state().display()));
        for secret in [
            "redis#password",
            "postgres#password",
            "rabbit#password",
            "clickhouse#password",
            "aws#secret_access_key",
        ] {
            let reference = format!("vault:secret/{}/{secret}", stack::NAMESPACE);
            assert!(text.contains(&reference), "{reference}");
            let (inner, whole) = (format!("${{{reference}}}"), format!("\"{reference}\""));
            text = text.replace(&inner, "${file:password}").replace(&whole, "\"${file:password}\"");
        }
        let gateway =
            Gateway::start_with(&[("password", stack::HEALTH_PASSWORD), ("tests.toml", &text)]);
        let token = stack::access_token().unwrap();
        let fresh = ["Cache-Control: no-cache"];
        wait_for("all checks", || {
            let report = gateway.report_with(&token, &fresh);
            let failures = failures(&report);
            if failures.is_empty() { Ok(()) } else { Err(failures) }
        });
        let end = Instant::now() + Duration::from_secs(3);
        percentile_99(end, || drop(gateway.report_with(&token, &fresh)));
        let pid = gateway.server.pid().unwrap();
        let after_start = copies(pid, stack::HEALTH_PASSWORD);
        gateway.write("password", "rotated-password-of-a-test");
        wait_for("a refused login", || {
            let failures = failures(&gateway.report_with(&token, &fresh));
            if failures.contains("WRONGPASS") { Ok(()) } else { Err(failures) }
        });
        let end = Instant::now() + Duration::from_secs(3);
        percentile_99(end, || drop(gateway.report_with(&token, &fresh)));
        let after_rotation = copies(pid, stack::HEALTH_PASSWORD);
        println!("copies: {after_start} after the start, {after_rotation} after the rotation");
        assert!(after_start <= 10 && after_rotation <= 5);
    }
}
