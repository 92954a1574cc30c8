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

/// Takes a minute, since each flood must have time to fill all places.
mod slow {
    use std::fmt::Write as _;
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use crate::running::{FILE, Gateway, TOKEN, get, percentile_99, receive, send};

    /// More than the gateway has places for.
    const CONNECTIONS: usize = 600;
    const DURATION: Duration = Duration::from_secs(6);
    const ROUND: Duration = Duration::from_millis(20);

    /// The token of the namespace with a report that fills the buffers of a connection.
    const WIDE_TOKEN: &str = "token-of-the-wide-report";

    /// Connections that are opened again as soon as they are closed.
    #[derive(Clone)]
    struct Flood {
        name: &'static str,
        /// What each connection sends first.
        first: String,
        /// What each connection sends in every round.
        later: &'static str,
        reads: bool,
    }

    impl Flood {
        fn new(name: &'static str, first: &str) -> Self {
            Self { name, first: first.to_owned(), later: "", reads: true }
        }

        fn open(&self, address: SocketAddr) -> Option<TcpStream> {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_nonblocking(true).ok()?;
            stream.write_all(self.first.as_bytes()).ok()?;
            Some(stream)
        }

        fn is_open(&self, stream: &mut TcpStream) -> bool {
            let is_pending = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
            let is_written = stream.write(self.later.as_bytes()).map_or_else(is_pending, |_| true);
            let mut read = || stream.read(&mut [0; 4096]).map_or_else(is_pending, |size| size > 0);
            is_written && (!self.reads || read())
        }

        /// Opens all connections, calls `measure`, and keeps them open until it returns.
        fn during<T>(&self, address: SocketAddr, measure: impl FnOnce() -> T) -> T {
            let stop = Arc::new(AtomicBool::new(false));
            let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| self.open(address)).collect();
            let (flood, stopped) = (self.clone(), stop.clone());
            let opener = thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    for stream in &mut streams {
                        if !stream.as_mut().is_some_and(|stream| flood.is_open(stream)) {
                            *stream = flood.open(address);
                        }
                    }
                    thread::sleep(ROUND);
                }
            });
            let measured = measure();
            stop.store(true, Ordering::Relaxed);
            opener.join().unwrap();
            measured
        }
    }

    fn floods() -> [Flood; 7] {
        let head = |token| format!("GET /api/health/{token}/ HTTP/1.1\r\nHost: gateway\r\n");
        let request = |token| head(token) + "\r\n";
        [
            Flood::new("one byte", "G"),
            Flood::new("half a head", &head(TOKEN)),
            Flood::new("idle", ""),
            Flood::new("kept alive", &request(TOKEN)),
            Flood {
                later: "x",
                ..Flood::new("trickled body", &(head(TOKEN) + "Content-Length: 60000\r\n\r\n"))
            },
            Flood {
                later: "G",
                reads: false,
                ..Flood::new("closed window", &request(WIDE_TOKEN).repeat(20))
            },
            Flood::new("wrong token", &request("wrong-token")),
        ]
    }

    #[test]
    fn the_right_caller_and_livez_are_answered_during_each_of_seven_floods() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        let mut wide = format!(
            "namespace = \"wide\"\naccess_token = \"{WIDE_TOKEN}\"\nmax_age = \"1h\"\n[cache]\n"
        );
        for number in 0..1000 {
            writeln!(wide, "c{number} = \"redis://127.0.0.1:1\"").unwrap();
        }
        let own: SocketAddr = ([127, 0, 0, 1], stack::free_port().unwrap()).into();
        let files = [("tests.toml", FILE), ("wide.toml", &wide)];
        let gateway = Gateway::start_with_arguments(&files, &["--health-listen", &own.to_string()]);
        let address = gateway.address;
        assert!(get(address, WIDE_TOKEN, &[]).body.len() > 60_000);
        for flood in floods() {
            let (caller, livez) = flood.during(address, || {
                let end = Instant::now() + DURATION;
                let livez = thread::spawn(move || {
                    percentile_99(end, || {
                        let response = receive(send(own, "GET", "/livez", &[]).unwrap());
                        assert_eq!(response.unwrap().status, 200);
                    })
                });
                let right = || assert_eq!(get(address, TOKEN, &[]).status, 200);
                (percentile_99(end, right), livez.join().unwrap())
            });
            println!("{}: 99th percentile {caller:?}, /livez {livez:?}", flood.name);
            assert!(caller < Duration::from_millis(1500), "{}: {caller:?}", flood.name);
            assert!(livez < Duration::from_millis(100), "{}: {livez:?}", flood.name);
        }
    }
}
