//! A server with a login and pings, and a probe with at most one flaw.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::FutureExt;
use probe::config::{Fields, FromNode, Node, Url, ValueError};
use probe::{
    CachedConnection, Cause, Check, Connect, Connecting, DynChecks, Failure, Kind, LastReceived,
    Reconnect, Secret, Section, SharedResources, Steps,
};
use probe_testkit::{Hostile, Subject, serve_tcp};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;

const PASSWORD: &str = "toy:s3cret@7";
/// Longer than any answer.
const MAX_ANSWER: u64 = 1024;
const ENCODED: &str = "toy%3As3cret%407";
/// The password in hexadecimal digits, which are not masked.
const IN_HEX: &str = "746f793a7333637265744037";

/// The promise that a probe breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    SendsNothing,
    SharesAcrossCredentials,
    BuildsNothing,
    ConnectionPerCheck,
    ConnectsInBuild,
    NeverRecovers,
    NoRetry,
    NoStep,
    PanicsInTheBackground,
    PanicsOnPartialAnswers,
    ReusesHalfReadConnections,
    SecretInFailure,
    SecretInTarget,
    StepInCapitals,
    AcceptsAnyAnswer,
    AcceptsAnything,
    TargetOfTwoLines,
    OwnTimeout,
    WaitsForSilentConnections,
}

/// The server.
pub(crate) struct Server(SocketAddr);

impl Server {
    pub(crate) async fn start() -> Self {
        Self(serve_tcp(|stream| serve(stream).map(drop)).await)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }

    pub(crate) fn subject(&self, kind: Kind) -> Subject {
        let config = |address| format!("url = \"toy://me:{ENCODED}@{address}\"");
        Subject::new(kind, "toy", self.0, config)
            .with_secret(PASSWORD)
            .with_hostile(Hostile::floods())
    }

    pub(crate) fn group(&self, kind: Kind) -> Subject {
        Subject {
            config: Box::new(|address| {
                let url = format!("toy://me:{ENCODED}@{address}");
                format!("a = \"{url}/1\"\nb = {{ url = \"{url}/2\", word = \"cat\" }}\n")
            }),
            ..self.subject(kind)
        }
    }
}

/// Answers each line until the client closes the connection.
async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut logged_in = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim().split_once(' ') {
            Some(("login", rest)) => {
                logged_in = rest == format!("me {PASSWORD}");
                if logged_in { "welcome".to_owned() } else { format!("no entry for {rest}") }
            }
            Some(("ping", number)) if logged_in => format!("pong {number}"),
            _ => "what?".to_owned(),
        };
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

pub(crate) fn build(section: &Section<'_>, flaw: Flaw) -> Option<DynChecks> {
    if flaw == Flaw::BuildsNothing {
        return None;
    }
    let mut fields = section.fields();
    let check = toy(&mut fields, section.shared(), flaw);
    fields.single(|| check)
}

pub(crate) fn build_group(section: &Section<'_>) -> Option<DynChecks> {
    section.group_by_key(|_, fields| toy(fields, section.shared(), Flaw::None))
}

fn toy(fields: &mut Fields<'_>, shared: &SharedResources, flaw: Flaw) -> Option<Toy> {
    let url = fields.url("url", &["toy"]);
    let _word = match flaw {
        Flaw::AcceptsAnything => fields.optional::<Anything>("word").map(|_| String::new()),
        _ => fields.optional::<String>("word"),
    };
    let url: Url = url?;
    let target = url.authority(7);
    if flaw == Flaw::ConnectsInBuild {
        drop(std::net::TcpStream::connect(&target));
    }
    let password = url.password().cloned().unwrap_or_else(|| Secret::new(""));
    let connector = Connector { target: target.clone(), password, flaw };
    let key = match flaw {
        Flaw::SharesAcrossCredentials => Secret::unmasked(&target),
        _ => Secret::unmasked(format!("{target} {}", connector.password.expose())),
    };
    let connection =
        shared.get_or_insert(&key, || CachedConnection::new(connector, Reconnect::default()));
    let target = match flaw {
        Flaw::SecretInTarget => format!("me:{IN_HEX}@{target}"),
        Flaw::TargetOfTwoLines => format!("two\n{target}"),
        _ => target,
    };
    Some(Toy { connection, target, flaw, failed: AtomicBool::new(false) })
}

/// A setting that accepts any value.
struct Anything;

impl FromNode for Anything {
    fn from_node(_: &Node) -> Result<Self, ValueError> {
        Ok(Self)
    }
}

struct Toy {
    connection: Arc<CachedConnection<Connector>>,
    target: String,
    flaw: Flaw,
    failed: AtomicBool,
}

impl Check for Toy {
    fn target(&self) -> &str {
        &self.target
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let ping = async |line: Arc<Line>| match self.flaw {
            Flaw::NoStep => line.ping().await.map_err(|error| Failure::new("ping", error)),
            Flaw::NoRetry => {
                let pinged = steps.run("ping", line.ping()).await;
                pinged.map_err(|failure| Failure::msg("ping", failure.cause().text()))
            }
            _ => steps.run("ping", line.ping()).await,
        };
        let result = match self.flaw {
            Flaw::SendsNothing => Ok(()),
            Flaw::ConnectionPerCheck => self.connection.run_fresh(steps, ping).await,
            Flaw::NeverRecovers if self.failed.load(Ordering::SeqCst) => {
                Err(Failure::msg("ping", "it failed before"))
            }
            Flaw::OwnTimeout => {
                let time = std::time::Duration::from_millis(100);
                tokio::time::timeout(time, self.connection.run(steps, ping))
                    .await
                    .unwrap_or_else(|_| Err(Failure::msg("ping", "this took too long")))
            }
            _ => self.connection.run(steps, ping).await,
        };
        self.failed.fetch_or(result.is_err(), Ordering::SeqCst);
        result.map_err(|failure| match self.flaw {
            Flaw::SecretInFailure => Failure::msg("ping", format!("no entry for {IN_HEX}")),
            Flaw::StepInCapitals => Failure::msg("Ping", failure.cause().text()),
            _ => failure,
        })
    }
}

struct Connector {
    target: String,
    password: Secret,
    flaw: Flaw,
}

impl Connect for Connector {
    type Connection = Line;

    fn connect<'a>(&'a self, steps: &'a Steps) -> Connecting<'a, Line> {
        Box::pin(async move {
            let stream = steps.run("connect", TcpStream::connect(&self.target)).await?;
            let stream = Mutex::new(BufReader::new(stream));
            let line = Line {
                stream,
                in_flight: AtomicBool::new(false),
                last_received: LastReceived::new(),
                flaw: self.flaw,
            };
            let login = format!("login me {}", self.password.expose());
            let answer = steps.run("login", line.exchange(&login)).await?;
            let accepted = answer == "welcome" || answer.len() as u64 == MAX_ANSWER;
            if accepted { Ok(line) } else { Err(Failure::msg("login", answer)) }
        })
    }

    fn is_closed(line: &Line) -> bool {
        line.stream.try_lock().is_ok() && line.is_half_read()
    }

    fn has_received_since(line: &Line, since: Instant) -> bool {
        line.flaw == Flaw::WaitsForSilentConnections || line.last_received.is_after(since)
    }
}

/// A connection with one request at a time.
pub(crate) struct Line {
    stream: Mutex<BufReader<TcpStream>>,
    /// Set while a request has no answer; if its run is dropped, the connection is half-read.
    in_flight: AtomicBool,
    last_received: LastReceived,
    flaw: Flaw,
}

impl Line {
    async fn ping(&self) -> Result<(), Cause> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let answer = self.exchange(&format!("ping {number}")).await?;
        match answer.strip_prefix("pong ").map(str::parse) {
            Some(Ok(answered)) if number == answered => Ok(()),
            None if self.flaw == Flaw::AcceptsAnyAnswer => Ok(()),
            _ => Err(Cause::msg("the answer belongs to another request")),
        }
    }

    async fn exchange(&self, request: &str) -> io::Result<String> {
        let mut stream = self.stream.lock().await;
        if self.is_half_read() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.in_flight.store(true, Ordering::SeqCst);
        stream.write_all(format!("{request}\n").as_bytes()).await?;
        let mut answer = String::new();
        let read = (&mut *stream).take(MAX_ANSWER).read_line(&mut answer).await;
        self.last_received.update();
        match self.flaw {
            Flaw::PanicsOnPartialAnswers => assert!(answer.ends_with('\n'), "a partial answer"),
            Flaw::PanicsInTheBackground if answer.is_empty() => {
                // Awaited only so that the panic happens before the run ends.
                let _panicked = tokio::spawn(async { panic!("in the background") }).await;
            }
            _ => {}
        }
        read?;
        if self.flaw == Flaw::AcceptsAnyAnswer && answer.len() as u64 == MAX_ANSWER {
            return Ok(answer);
        }
        if !answer.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.in_flight.store(false, Ordering::SeqCst);
        Ok(answer.trim().to_owned())
    }

    fn is_half_read(&self) -> bool {
        self.flaw != Flaw::ReusesHalfReadConnections && self.in_flight.load(Ordering::SeqCst)
    }
}
