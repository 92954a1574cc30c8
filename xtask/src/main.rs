//! The project's tasks, called through `cargo xtask`.
//!
//! This file is the command line only; each task is a file of its own.

mod bench;
mod cargo;
mod demo;
mod deny;
mod doc;
mod files;
mod gateway;
mod image;
mod manifests;
mod new_probe;
mod release;
mod table;
mod test;
mod workspace;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use stack::{Backends, Way};

/// The project's tasks.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start the backends: in containers if an engine can pull images, otherwise on this machine, installing what is missing.
    Up {
        #[command(flatten)]
        backends: BackendArgs,
    },
    /// Stop the backends that `up` started.
    Down,
    /// Show the report of the real backends, and serve it until Ctrl-C.
    Demo {
        /// Print the report as JSON and end; succeed only if every check says `working`.
        #[arg(long)]
        once: bool,
        /// Where the gateway listens.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:28080")]
        listen: SocketAddr,
    },
    /// Check everything that must hold, with all tests against the real backends; or run the tests of single crates.
    Test {
        #[command(flatten)]
        backends: BackendArgs,
        /// Crates: only the backends that their tests need are brought up, and only their tests are run.
        #[arg(value_name = "CRATE")]
        crates: Vec<String>,
    },
    /// Check what needs no backends: format, lints, documentation, and the rules for dependencies.
    Lint,
    /// Print the crates to be tested anew after a change, as JSON: those that changed and those that depend on them.
    Changed {
        /// The commit that the change began at.
        #[arg(long, value_name = "COMMIT")]
        since: String,
    },
    /// Build the container image, start it, and get the report of the real backends from it.
    Image,
    /// Measure the release binary beside its limits; fail if a bound is missed by more than the noise.
    Bench {
        /// Where to write the figures as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// The rows to measure, in place of all.
        #[arg(long, value_name = "ROW", value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Create a probe crate and register it.
    NewProbe {
        /// The backend's name: lower-case letters, digits and dashes.
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
        Task::Up { backends } => stack::up(&Backends::all(), backends.way()).map(drop),
        Task::Down => stack::down(&Backends::all()),
        Task::Demo { once: false, listen } => demo::serve(listen),
        Task::Demo { once: true, listen } => demo::once(listen),
        Task::Test { backends, crates } if crates.is_empty() => test::everything(backends.way()),
        Task::Test { backends, crates } => test::crates(&crates, backends.way()),
        Task::Lint => test::lint(),
        Task::Changed { since } => changed(&since),
        Task::Image => image::run(),
        Task::Bench { json, only } => bench::run(json.as_deref(), &only),
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
    fn way(&self) -> Way {
        match (self.native, self.compose) {
            (true, _) => Way::Native,
            (false, true) => Way::Compose,
            (false, false) => Way::Automatic,
        }
    }
}

fn changed(since: &str) -> stack::Result<()> {
    let workspace = workspace::Workspace::read()?;
    println!("{}", serde_json::json!(workspace.changed_since(since)?));
    Ok(())
}
