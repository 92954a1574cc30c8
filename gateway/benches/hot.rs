//! The gateway's own work for every request: a cached report, the token, the response.
//!
//! `cargo bench -p gateway` measures time.
//! With `--count NAME TIMES`, the binary runs one of them that many times and nothing else, for callgrind to count instructions: see docs/performance.md.
#![expect(clippy::expect_used, reason = "a benchmark ends by panicking")]

use std::future::ready;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use gateway::http::{Arrival, ReportSource, app};
use gateway::maybe_ready::MaybeReady;
use gateway::namespace::Namespace;
use gateway::namespaces::Namespaces;
use gateway::overview::Overview;
use gateway::report::{CheckResult, ComponentResult, Components, Report, WORKING};
use gateway::runner::RunOptions;
use http::{Request, StatusCode};
use probe::CheckName;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::{Service, ServiceExt as _};

const TOKEN: &str = "token-of-a-benchmark";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The checks of a full report.
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
        ("runner", runner()),
        ("token", token()),
        ("report", report(|| Arc::new(components().into()))),
        ("report again", {
            let written: Arc<Components> = Arc::new(components().into());
            report(move || Arc::clone(&written))
        }),
    ]
}

/// Every check has a result that is younger than `max_age`.
fn runner() -> Bench {
    let open = OpenNamespace::new();
    let namespace = open.namespace();
    // The only run: the connection is refused at once, and the result is cached for an hour.
    open.runtime.block_on(namespace.report(RunOptions::default()));
    Box::new(move || {
        let report = open.runtime.block_on(namespace.report(RunOptions::default()));
        assert_eq!(black_box(report).components.len(), CHECKS);
    })
}

/// The right token is verified.
fn token() -> Bench {
    let open = OpenNamespace::new();
    Box::new(move || drop(black_box(open.namespace())))
}

/// A request passes all layers, and its report becomes the bytes of a response.
fn report(components: impl Fn() -> Arc<Components> + Send + Sync + 'static) -> Bench {
    let runtime = runtime();
    let mut app = app(Arc::new(FixedSource(Arc::new(components))));
    Box::new(move || {
        let uri = format!("/api/health/{TOKEN}/").parse().expect("a URI");
        let request = Request::get("/").extension(Arrival::new(PEER, uri)).body(());
        let response = runtime.block_on(async {
            app.ready().await.expect("it is always ready").call(request.expect("a request")).await
        });
        assert_eq!(black_box(response.expect("a response")).status(), StatusCode::OK);
    })
}

/// A namespace as the process has it, with checks of a Redis that does not run.
struct OpenNamespace {
    runtime: Runtime,
    namespaces: Arc<Namespaces>,
    _folder: TempDir,
}

impl OpenNamespace {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file: PathBuf = folder.path().join("bench.toml");
        let check = |at| format!("[check_{at}]\nkind = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n");
        let checks: String = (0..CHECKS).map(check).collect();
        let head = format!("namespace = \"bench\"\naccess_token = \"{TOKEN}\"\nmax_age = \"1h\"\n");
        std::fs::write(&file, head + &checks).expect("a file");
        let runtime = runtime();
        // Each namespace gets a task that reloads it.
        let namespaces = runtime.block_on(async { Namespaces::open(&[file]) });
        let namespaces = namespaces.expect("a configuration");
        Self { runtime, namespaces, _folder: folder }
    }

    fn namespace(&self) -> Arc<Namespace> {
        let authorized = self.namespaces.authorize(TOKEN, None, PEER);
        self.runtime.block_on(authorized).expect("the right token")
    }
}

/// One thread, so that the hand-over between threads is not counted.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A source with a fixed report.
#[derive(Clone)]
struct FixedSource(Arc<dyn Fn() -> Arc<Components> + Send + Sync>);

impl ReportSource for FixedSource {
    type Namespace = Self;

    fn authorize(
        self: &Arc<Self>,
        token: &str,
        _: Option<&[u8]>,
        _: IpAddr,
    ) -> MaybeReady<Option<Self>> {
        MaybeReady::Left(ready((token == TOKEN).then(|| Self::clone(self))))
    }

    fn name(_: &Self) -> String {
        "bench".to_owned()
    }

    fn failure_status(_: &Self) -> StatusCode {
        StatusCode::OK
    }

    fn answer_timeout(_: &Self) -> Duration {
        Duration::from_secs(10)
    }

    fn report(namespace: &Self, _: RunOptions) -> MaybeReady<Report> {
        let components = namespace.0();
        MaybeReady::Left(ready(Report { components, age: None, has_critical_failure: false }))
    }

    fn overview(_: &Self) -> Overview {
        Overview::default()
    }
}

/// Every well-known component, all of them working.
fn components() -> Vec<(String, ComponentResult)> {
    let result =
        CheckResult { status: WORKING.to_owned(), response_time: Duration::from_micros(412) };
    let group = |names: usize| {
        ComponentResult::Group(
            (0..names)
                .map(|at| (CheckName::new(format!("check_{at}")).expect("a name"), result.clone()))
                .collect(),
        )
    };
    let groups =
        ["cache", "celery", "cloud_front", "history", "s3"].into_iter().zip([4, 4, 1, 8, 1]);
    let singles = ["postgres", "rabbit", "redis2", "redis", "vault", "websocket"];
    let mut components: Vec<_> =
        groups.map(|(name, size)| (name.to_owned(), group(size))).collect();
    components
        .extend(singles.map(|name| (name.to_owned(), ComponentResult::Single(result.clone()))));
    components
}
