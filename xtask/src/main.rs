//! The command line of the project's tasks, `cargo xtask`.
//!
//! Each task has its own module.

mod bench;
mod cargo;
mod demo;
mod deny;
mod doc;
mod failures;
mod files;
mod fleet;
mod fuzz;
mod gateway;
mod image;
mod manifests;
mod new_probe;
mod program;
mod release;
mod screenshots;
mod soak;
mod table;
mod test;
mod workspace;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use stack::{Backends, Mode};

/// The project's tasks.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start the backends: in containers if an engine can pull images, otherwise on this machine. Installs what is missing.
    Up {
        #[command(flatten)]
        backends: BackendArgs,
    },
    /// Stop the backends that `up` started.
    Down,
    /// Print the report of the real backends, and serve it until Ctrl-C.
    Demo {
        /// Print the report as JSON and exit; fail unless every check is `working`.
        #[arg(long)]
        once: bool,
        /// Also run a Prometheus that scrapes the gateway, with its alert rules, and an Alertmanager.
        #[arg(long, conflicts_with = "once")]
        monitoring: bool,
        /// The address that the gateway listens on.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:28080")]
        listen: SocketAddr,
    },
    /// Run all lints, and all tests on the real backends; with crates, only their tests; with `failures`, those that docs/failures.md names.
    Test {
        #[command(flatten)]
        backends: BackendArgs,
        /// Also run the slow tests, those in modules named `slow`.
        #[arg(long)]
        slow: bool,
        /// The crates to test, with only the backends that their tests need; or `failures`.
        #[arg(value_name = "CRATE")]
        crates: Vec<String>,
    },
    /// Run the checks that need no backends: format, lints, documentation, dependency rules and manifests.
    Lint,
    /// Print the crates that a change affects, as JSON: those that changed and those that depend on them.
    Changed {
        /// The commit before the change.
        #[arg(long, value_name = "COMMIT")]
        since: String,
    },
    /// Build the container image, start it, and request the report of the real backends from it.
    Image,
    /// Measure the release binary against its bounds; fail if a bound is missed by more than the noise.
    Bench {
        /// The file to write the figures to, as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// The rows to measure, instead of all.
        #[arg(long, value_name = "ROW", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Run the release binary under requests, faults and rotations; fail if anything grows or goes wrong.
    Soak {
        /// How long to run.
        #[arg(long, value_name = "NUMBER", default_value = "30", value_parser = clap::value_parser!(u64).range(5..))]
        minutes: u64,
        /// The seed of all random choices, to repeat those of an earlier run.
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
    },
    /// Run many release binaries that share results, under faults; fail if they run checks more often than one, or answer wrongly.
    Fleet {
        /// Simulate the gateways and the store of one check, in virtual time.
        #[arg(long)]
        simulated: bool,
        /// How many gateways to run.
        #[arg(long, value_name = "NUMBER", default_value = "200", value_parser = clap::value_parser!(u32).range(3..=100_000))]
        replicas: u32,
        /// How long to run them.
        #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = clap::value_parser!(u64).range(1..))]
        minutes: u64,
        /// The seed of all random choices, to repeat those of an earlier run.
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
    },
    /// Mutate a kept corpus of what callers, operators and servers send; fail if anything panics, hangs or shows a secret.
    Fuzz {
        /// How long to run, over all targets.
        #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = clap::value_parser!(u64).range(1..))]
        minutes: u64,
        /// The targets to run, instead of all.
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        target: Vec<String>,
        /// The seed of all random choices, to repeat those of an earlier run.
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
    },
    /// Make the pictures of the status page in `docs/images`, with the demo's backends and a Redis that fails.
    Screenshots,
    /// Create a probe crate and register it.
    NewProbe {
        /// The name of the backend that it probes: lower-case letters, digits and dashes.
        name: String,
    },
}

/// Where the shared backends run.
#[derive(Args)]
struct BackendArgs {
    /// Run the backends on this machine, even if there is a container engine.
    #[arg(long, conflicts_with = "compose")]
    native: bool,
    /// Run the backends in the containers of docker-compose.yml.
    #[arg(long)]
    compose: bool,
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Up { backends } => stack::up(&Backends::all(), backends.mode()).map(drop),
        Task::Down => stack::down(&Backends::all()),
        Task::Demo { once: false, monitoring, listen } => demo::serve(listen, monitoring),
        Task::Demo { once: true, listen, .. } => demo::once(listen),
        Task::Test { backends, slow, crates } => match crates.as_slice() {
            [] => test::everything(backends.mode(), slow),
            [page] if page == "failures" => failures::run(backends.mode()),
            crates => test::crates(crates, backends.mode(), slow),
        },
        Task::Lint => test::lint(),
        Task::Changed { since } => changed(&since),
        Task::Image => image::run(),
        Task::Bench { json, only } => bench::run(json.as_deref(), &only),
        Task::Soak { minutes, seed } => soak::run(minutes, seed),
        Task::Fleet { simulated, replicas, minutes, seed } => {
            fleet::run(simulated, replicas, minutes, seed)
        }
        Task::Fuzz { minutes, target, seed } => fuzz::run(minutes, &target, seed),
        Task::Screenshots => screenshots::run(),
        Task::NewProbe { name } => new_probe::run(&name),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl BackendArgs {
    fn mode(&self) -> Mode {
        match (self.native, self.compose) {
            (true, _) => Mode::Native,
            (false, true) => Mode::Compose,
            (false, false) => Mode::Automatic,
        }
    }
}

fn changed(since: &str) -> stack::Result<()> {
    let workspace = workspace::Workspace::read()?;
    println!("{}", serde_json::json!(workspace.changed_since(since)?));
    Ok(())
}
