//! A real little server that wants a login and answers pings, and a probe for it with one flaw or none.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use probe::config::{Fields, FromNode, Node, Url, ValueError};
use probe::{
    CachedConnection, Cause, Check, Connect, DynChecks, Failure, Kind, Secret, Section,
    SharedResources, Steps,
};
use probe_testkit::Subject;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

const PASSWORD: &str = "toy:s3cret@7";
const ENCODED: &str = "toy%3As3cret%407";

/// What is wrong with a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    AsksNothing,
    BorrowsConnections,
    ConnectionPerCheck,
    ConnectsInBuild,
    NeverRecovers,
    NoRetry,
    NoStep,
    PanicsInTheBackground,
    PanicsOnOddAnswers,
    ReusesHalfReadConnections,
    SecretInFailure,
    SecretInTarget,
    ShoutedStep,
    TakesAnything,
    TargetOfTwoLines,
    TimeoutOfItsOwn,
}

/// The server.
pub(crate) struct Server(SocketAddr);

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self(address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0
    }

    pub(crate) fn subject(&self, kind: Kind) -> Subject {
        Subject {
            kind,
            section: "toy",
            config: Box::new(|address| format!("url = \"toy://me:{ENCODED}@{address}\"")),
            upstream: self.0,
            secrets: vec![PASSWORD.to_owned()],
            connections: 1,
        }
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

/// Answers until the client hangs up; an answer is long enough to be cut.
async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut known = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.trim().split_once(' ') {
            Some(("login", rest)) => {
                known = rest == format!("me {PASSWORD}");
                if known { "welcome".to_owned() } else { format!("no entry for {rest}") }
            }
            Some(("ping", number)) if known => format!("pong {number}"),
            _ => "what?".to_owned(),
        };
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

pub(crate) fn build(section: &Section<'_>, flaw: Flaw) -> Option<DynChecks> {
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
        Flaw::TakesAnything => fields.optional::<Anything>("word").map(|_| String::new()),
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
        Flaw::BorrowsConnections => Secret::new(&target),
        _ => Secret::new(format!("{target} {}", connector.password.expose())),
    };
    let kept = shared.get_or_insert(&key, || CachedConnection::new(connector));
    let target = match flaw {
        Flaw::SecretInTarget => format!("me:{ENCODED}@{target}"),
        Flaw::TargetOfTwoLines => format!("two\n{target}"),
        _ => target,
    };
    Some(Toy { kept, target, flaw, failed: AtomicBool::new(false) })
}

/// A setting of a type to which everything belongs.
struct Anything;

impl FromNode for Anything {
    fn from_node(_: &Node) -> Result<Self, ValueError> {
        Ok(Self)
    }
}

struct Toy {
    kept: Arc<CachedConnection<Connector>>,
    target: String,
    flaw: Flaw,
    failed: AtomicBool,
}

impl Check for Toy {
    fn target(&self) -> &str {
        &self.target
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let ask = async |line: Arc<Line>| match self.flaw {
            Flaw::NoStep => line.ping().await.map_err(|error| Failure::new("ping", error)),
            Flaw::NoRetry => {
                let pinged = steps.run("ping", line.ping()).await;
                pinged.map_err(|failure| Failure::msg("ping", failure.cause().text()))
            }
            _ => steps.run("ping", line.ping()).await,
        };
        let result = match self.flaw {
            Flaw::AsksNothing => Ok(()),
            Flaw::ConnectionPerCheck => self.kept.run_fresh(steps, ask).await,
            Flaw::NeverRecovers if self.failed.load(Ordering::SeqCst) => {
                Err(Failure::msg("ping", "it failed before"))
            }
            Flaw::TimeoutOfItsOwn => {
                let time = std::time::Duration::from_millis(100);
                tokio::time::timeout(time, self.kept.run(steps, ask))
                    .await
                    .unwrap_or_else(|_| Err(Failure::msg("ping", "this took too long")))
            }
            _ => self.kept.run(steps, ask).await,
        };
        self.failed.fetch_or(result.is_err(), Ordering::SeqCst);
        result.map_err(|failure| match self.flaw {
            Flaw::SecretInFailure => Failure::msg("ping", format!("no entry for {ENCODED}")),
            Flaw::ShoutedStep => Failure::msg("Ping", failure.cause().text()),
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

    async fn connect(&self, steps: &Steps) -> Result<Line, Failure> {
        let stream = steps.run("connect", TcpStream::connect(&self.target)).await?;
        let stream = Mutex::new(BufReader::new(stream));
        let line = Line { stream, asking: AtomicBool::new(false), flaw: self.flaw };
        let login = format!("login me {}", self.password.expose());
        let answer = steps.run("login", line.record_usage(&login)).await?;
        if answer == "welcome" { Ok(line) } else { Err(Failure::msg("login", answer)) }
    }

    fn is_closed(line: &Line) -> bool {
        line.stream.try_lock().is_ok() && line.was_left()
    }
}

/// A connection with one question at a time.
pub(crate) struct Line {
    stream: Mutex<BufReader<TcpStream>>,
    /// Whether a question has no answer yet; with nobody waiting for it, the connection is half-read.
    asking: AtomicBool,
    flaw: Flaw,
}

impl Line {
    async fn ping(&self) -> Result<(), Cause> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let answer = self.record_usage(&format!("ping {number}")).await?;
        match answer.strip_prefix("pong ").map(str::parse) {
            Some(Ok(answered)) if number == answered => Ok(()),
            _ => Err(Cause::msg("the answer is to another question")),
        }
    }

    async fn record_usage(&self, question: &str) -> io::Result<String> {
        let mut stream = self.stream.lock().await;
        if self.was_left() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.asking.store(true, Ordering::SeqCst);
        stream.write_all(format!("{question}\n").as_bytes()).await?;
        let mut answer = String::new();
        let read = stream.read_line(&mut answer).await;
        match self.flaw {
            Flaw::PanicsOnOddAnswers => assert!(answer.ends_with('\n'), "an odd answer"),
            Flaw::PanicsInTheBackground if answer.is_empty() => {
                // Its end is waited for only so that the panic is over when the run is.
                let _panicked = tokio::spawn(async { panic!("nobody reads this") }).await;
            }
            _ => {}
        }
        read?;
        if !answer.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.asking.store(false, Ordering::SeqCst);
        Ok(answer.trim().to_owned())
    }

    fn was_left(&self) -> bool {
        self.flaw != Flaw::ReusesHalfReadConnections && self.asking.load(Ordering::SeqCst)
    }
}
