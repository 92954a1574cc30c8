//! Floods of callers, beyond the limits of file descriptors, log lines and guesses.

use std::net::TcpStream;

use crate::running::{FILE, Gateway, TIMEOUT, TOKEN, get, receive, send, wait_for};

#[test]
fn callers_beyond_the_file_descriptors_make_room() {
    let gateway = Gateway::start_with_open_files(FILE, 64);
    let idle: Vec<_> = (0..150).map(|_| TcpStream::connect(gateway.address)).collect();
    let begun = std::time::Instant::now();
    assert_eq!(get(gateway.address, TOKEN, &[]).status, 200);
    assert!(begun.elapsed() < TIMEOUT / 2, "{:?}", begun.elapsed());
    assert!(idle.iter().all(Result::is_ok));
    assert!(!gateway.log().contains("accept failed"), "{}", gateway.log());
}

#[test]
fn refused_requests_beyond_the_rate_of_the_log_are_summarized() {
    const COUNT: usize = 400;
    let gateway = Gateway::start(FILE);
    let begun = std::time::Instant::now();
    for _ in 0..COUNT {
        assert_eq!(receive(send(gateway.address, "GET", "/", &[]).unwrap()).unwrap().status, 404);
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let logged = |log: &str| log.matches("request answered").count();
    let lines = logged(&gateway.log());
    assert!((10..=10 * (seconds + 1)).contains(&lines), "{lines} lines in {seconds} s");
    let (count, log) = wait_for("requests refused", || {
        let log = gateway.log();
        let count = log.lines().filter(|line| line.contains("requests refused")).map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["peers"], "127.0.0.1");
            line["count"].as_u64().unwrap()
        });
        let count = usize::try_from(count.sum::<u64>()).unwrap();
        if count + logged(&log) >= COUNT { Ok((count, log)) } else { Err(log) }
    });
    assert_eq!(count + logged(&log), COUNT);
}

#[test]
fn guesses_beyond_the_rate_are_refused_at_once() {
    let gateway = Gateway::start(FILE);
    let begun = std::time::Instant::now();
    let guesses: Vec<_> = (0..400)
        .map(|_| send(gateway.address, "GET", "/api/health/wrong-token/", &[]).unwrap())
        .collect();
    assert_eq!(get(gateway.address, TOKEN, &[]).status, 200);
    for guess in guesses {
        assert_eq!(receive(guess).unwrap().status, 405);
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    let lines = gateway.log().matches("wrong access token").count();
    assert!(lines <= 10 * (seconds + 1), "{lines} lines in {seconds} s");
}
