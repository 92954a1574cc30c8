//! What is ours on the way of every request: answering from the board, comparing the token, writing the report.
//!
//! `cargo bench -p gateway` measures time.
//! With `--count NAME TIMES`, the binary does one of them so many times and nothing else, for a count of instructions by callgrind: see docs/performance.md.
#![expect(clippy::expect_used, reason = "a benchmark ends by panicking")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use gateway::http::{Authority, Peer, app};
use gateway::namespace::Namespace;
use gateway::namespaces::Namespaces;
use gateway::report::{CheckResult, ComponentResult, Components, Report, WORKING};
use gateway::runner::RunOptions;
use http::{Request, StatusCode};
use probe::CheckName;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::{Service, ServiceExt as _};

const TOKEN: &str = "token-of-a-benchmark";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// So many checks a full report has.
const CHECKS: usize = 24;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == "--count");
    let Some([name, times]) = at.and_then(|at| arguments.get(at + 1..at + 3)) else {
        return measure();
    };
    let times: u64 = times.parse().expect("a number of times");
    let mut benches = benches();
    let (_, bench) = benches.iter_mut().find(|(known, _)| known == name).expect("a known name");
    (0..times).for_each(|_| bench());
}

fn measure() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, mut bench) in benches() {
        criterion.bench_function(name, |bencher| bencher.iter(&mut bench));
    }
    criterion.final_summary();
}

type Bench = Box<dyn FnMut()>;

fn benches() -> Vec<(&'static str, Bench)> {
    vec![
        ("board", board()),
        ("token", token()),
        ("report", report(|| Arc::new(components().into()))),
        ("report again", {
            let written: Arc<Components> = Arc::new(components().into());
            report(move || Arc::clone(&written))
        }),
    ]
}

/// Every check answers from the board, since its last result is young enough.
fn board() -> Bench {
    let opened = Opened::new();
    let namespace = opened.namespace();
    // The only run: nobody listens there, which is found out at once, and stays true for an hour.
    opened.runtime.block_on(namespace.ask(RunOptions::default()));
    Box::new(move || {
        let report = opened.runtime.block_on(namespace.ask(RunOptions::default()));
        assert_eq!(black_box(report).components.len(), CHECKS);
    })
}

/// The right token is found to be right.
fn token() -> Bench {
    let opened = Opened::new();
    Box::new(move || drop(black_box(opened.namespace())))
}

/// A report goes through all layers of the face and becomes the bytes of its answer.
fn report(components: impl Fn() -> Arc<Components> + Send + Sync + 'static) -> Bench {
    let runtime = runtime();
    let mut app = app(Arc::new(Reporter(Arc::new(components))));
    Box::new(move || {
        let request = Request::get(format!("/api/health/{TOKEN}/")).body(Peer(PEER));
        let answer = runtime.block_on(async {
            app.ready().await.expect("it is always ready").call(request.expect("a request")).await
        });
        assert_eq!(black_box(answer.expect("an answer")).status(), StatusCode::OK);
    })
}

/// A namespace as the process has it, with checks of a Redis that is not there.
struct Opened {
    runtime: Runtime,
    namespaces: Arc<Namespaces>,
    _folder: TempDir,
}

impl Opened {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file: PathBuf = folder.path().join("bench.toml");
        let check = |at| format!("[check_{at}]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n");
        let checks: String = (0..CHECKS).map(check).collect();
        let head = format!("namespace = \"bench\"\naccess_token = \"{TOKEN}\"\nmax_age = \"1h\"\n");
        std::fs::write(&file, head + &checks).expect("a file");
        let runtime = runtime();
        // Each namespace gets a task that keeps it.
        let namespaces = runtime.block_on(async { Namespaces::open(&[file]) });
        let namespaces = namespaces.expect("a configuration");
        Self { runtime, namespaces, _folder: folder }
    }

    fn namespace(&self) -> Arc<Namespace> {
        let authorized = self.namespaces.authorize(TOKEN, None, PEER);
        self.runtime.block_on(authorized).expect("the right token")
    }
}

/// One thread, so that instructions are counted and not the hand-over between threads.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Somebody whose report is known beforehand.
#[derive(Clone)]
struct Reporter(Arc<dyn Fn() -> Arc<Components> + Send + Sync>);

impl Authority for Reporter {
    type Namespace = Self;

    async fn authorize(&self, token: &str, _: Option<&[u8]>, _: IpAddr) -> Option<Self> {
        (token == TOKEN).then(|| self.clone())
    }

    fn name(_: &Self) -> String {
        "bench".to_owned()
    }

    fn failure_status(_: &Self) -> StatusCode {
        StatusCode::OK
    }

    async fn ask(namespace: &Self, _: RunOptions) -> Report {
        Report { components: namespace.0(), age: None }
    }
}

/// Every well-known component, all of them working.
fn components() -> Vec<(String, ComponentResult)> {
    let line =
        CheckResult { status: WORKING.to_owned(), response_time: Duration::from_micros(412) };
    let group = |names: usize| {
        ComponentResult::Group(
            (0..names)
                .map(|at| (CheckName::new(format!("check_{at}")).expect("a name"), line.clone()))
                .collect(),
        )
    };
    let groups =
        ["cache", "celery", "cloud_front", "history", "s3"].into_iter().zip([4, 4, 1, 8, 1]);
    let singles = ["postgres", "rabbit", "redis2", "redis", "vault", "websocket"];
    let mut components: Vec<_> =
        groups.map(|(name, size)| (name.to_owned(), group(size))).collect();
    components.extend(singles.map(|name| (name.to_owned(), ComponentResult::Single(line.clone()))));
    components
}
