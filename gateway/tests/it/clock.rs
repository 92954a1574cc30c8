//! A time of day that jumps: a machine is resumed, or its clock is corrected.

/// Takes seconds, since the checks run once a second.
mod slow {
    use std::fs;
    use std::net::SocketAddr;
    use std::time::{Duration, Instant};

    use stack::redis::Redis;

    use crate::running::{FILE, Gateway, TOKEN, get, percentile_99, wait_for};

    #[test]
    fn a_clock_that_jumps_by_a_day_in_either_direction_changes_nothing() {
        let redis = Redis::start(&[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let offset = folder.path().join("offset");
        let jump = |by: &str| {
            let new = folder.path().join("new");
            fs::write(&new, by).unwrap();
            fs::rename(new, &offset).unwrap();
        };
        jump("+0");
        let variables = stack::faketime::variables(&offset).unwrap();
        let mut command = vec!["env"];
        command.extend(variables.iter().map(String::as_str));
        command.push(env!("CARGO_BIN_EXE_health-gateway"));
        let settings = format!(
            "{FILE}interval = \"1s\"\n[redis]\nurl = \"redis://127.0.0.1:{}\"\n",
            redis.port()
        );
        let own: SocketAddr = ([127, 0, 0, 1], stack::free_port().unwrap()).into();
        let arguments = ["--health-listen", &own.to_string()];
        let gateway = Gateway::start_by(&[("tests.toml", &settings)], &command, &arguments);
        let day = || get(gateway.address, TOKEN, &[]).headers["date"][..16].to_owned();
        let runs = || -> u64 {
            let body = stack::http::request(own, "GET", "/metrics", &[], "").unwrap().body;
            let lines = body.lines().filter(|line| line.contains("check_runs_total{"));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        let mut last = day();
        for by in ["+1d", "-1d", "+0"] {
            jump(by);
            last = wait_for("another day", || {
                let day = day();
                if day == last { Err(day) } else { Ok(day) }
            });
            let before = runs();
            let end = Instant::now() + Duration::from_secs(1);
            let slowest = percentile_99(end, || assert_eq!(gateway.status("/redis"), "working"));
            println!("clock moved by {by}: 99th percentile {slowest:?}");
            assert!(slowest < Duration::from_secs(1), "{by}: {slowest:?}");
            wait_for("runs without a caller", || {
                let more = runs() - before;
                if more > 2 { Ok(()) } else { Err(more.to_string()) }
            });
            let headers = get(gateway.address, TOKEN, &["Cache-Control: max-age=3600"]).headers;
            let age: u64 = headers.get("age").map_or(0, |age| age.parse().unwrap());
            assert!(age < 60, "{by}: {age}");
        }
        assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
    }
}
