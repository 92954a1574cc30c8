//! Name resolution while no DNS server answers, for the whole gateway.

/// Takes seconds, since every name waits for its timeout.
mod slow {
    use std::fmt::Write as _;
    use std::fs;
    use std::net::UdpSocket;
    use std::time::{Duration, Instant};

    use stack::redis::Redis;

    use crate::running::{FILE, Gateway, status};

    /// An address of loopback for a server that receives questions and answers none.
    const SERVER: &str = "127.53.0.53";

    /// The server needs port 53, and the file that names it is mounted for the gateway alone: root may do both.
    #[test]
    fn silent_dns_has_few_threads_and_delays_no_check_that_needs_no_name() {
        let _silent = UdpSocket::bind((SERVER, 53)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolv.conf");
        fs::write(&file, format!("nameserver {SERVER}\n")).unwrap();
        let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", file.display());
        let program = env!("CARGO_BIN_EXE_health-gateway");
        let command = ["unshare", "--mount", "sh", "-c", &script, "sh", program];
        let redis = Redis::start(&[]).unwrap();
        let mut settings = format!(
            "{FILE}timeout = \"1s\"\n[redis]\nurl = \"redis://127.0.0.1:{}\"\n[cache]\n",
            redis.port()
        );
        for number in 0..100 {
            writeln!(settings, "c{number} = \"redis://silent-{number}.example:6379\"").unwrap();
        }
        let gateway = Gateway::start_by(&[("tests.toml", &settings)], &command, &[]);
        let pid = gateway.server.pid().unwrap();
        let threads = || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let names =
                tasks.filter_map(|it| fs::read_to_string(it.ok()?.path().join("comm")).ok());
            let names: Vec<_> = names.collect();
            (names.len(), names.iter().filter(|name| name.trim() == "resolver").count())
        };
        let before = threads().0;
        for round in 0..4 {
            let begun = Instant::now();
            let report = gateway.report();
            assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
            assert_eq!(status(&report, "/redis"), "working");
            let time = report["redis"]["response_time"].as_str().unwrap().parse::<f64>().unwrap();
            for number in 0..100 {
                let status = status(&report, &format!("/cache/c{number}"));
                assert!(status.starts_with("resolve: "), "{status}");
            }
            let (all, resolvers) = threads();
            println!(
                "round {round}: redis {time} s, {resolvers} resolvers, {before} -> {all} threads"
            );
            assert!(time < 0.5 && resolvers <= 32, "{time} s, {resolvers} resolvers");
            // The first run of each check has a thread for blocking work.
            assert!(all <= before + 101 + 32 + 8, "{before} -> {all} threads");
        }
    }
}
