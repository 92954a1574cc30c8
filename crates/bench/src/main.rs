//! Measures the gateway against the lowest possible cost and against a peer.
//!
//! `cargo xtask bench` builds and runs it. It is not part of the product, and uses only the gateway's public interface.

mod backends;
mod encrypted;
mod error;
mod figure;
mod findings;
mod fleet;
mod floor;
mod gateway;
mod http;
mod interrupt;
mod measure;
mod peer;
mod proc;
mod proxy;
mod rows;
mod soak;
mod tls;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::error::{Context, Result};
use crate::figure::{Verdict, json, table};
use crate::interrupt::Guard;
use crate::rows::{Bench, ROWS};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure, and print the table of figures; fail if a bound is missed by more than the noise.
    Run {
        /// The gateway's binary.
        #[arg(long, value_name = "FILE")]
        gateway: PathBuf,
        /// The file to write the figures to, as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// The rows to measure, instead of all.
        #[arg(long, value_name = "NAME", value_parser = row_name, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Run the gateway under faults, rotations and requests; fail if anything grows or goes wrong.
    Soak {
        /// The gateway's binary.
        #[arg(long, value_name = "FILE")]
        gateway: PathBuf,
        #[command(flatten)]
        limits: RunLimits,
    },
    /// Run many gateways that share results, under faults; fail if they run checks more often than one, or answer wrongly.
    Fleet {
        /// The gateway's binary.
        #[arg(long, value_name = "FILE")]
        gateway: PathBuf,
        /// How many gateways to run.
        #[arg(long, value_name = "NUMBER")]
        replicas: usize,
        #[command(flatten)]
        limits: RunLimits,
    },
    /// Simulate a fleet that shares the runs of one check; each phase takes the whole time.
    Simulate {
        /// How many gateways there are.
        #[arg(long, value_name = "NUMBER")]
        replicas: usize,
        #[command(flatten)]
        limits: RunLimits,
    },
    /// Run the bare HTTP server that the gateway is compared with.
    #[command(hide = true)]
    Bare {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        body: PathBuf,
    },
    /// Run the floor: connect to all backends, send each its requests once, and exit.
    #[command(hide = true)]
    Floor,
}

#[derive(Args)]
struct RunLimits {
    /// How long to run.
    #[arg(long, value_name = "NUMBER")]
    minutes: u64,
    /// The seed of all random choices, to repeat those of an earlier run.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

impl RunLimits {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.minutes * 60)
    }

    /// The given seed or a random one.
    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| rand::random::<u32>().into())
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Run { gateway, json, only } => guarded(|| run(gateway, json, &only)),
        Task::Soak { gateway, limits } => {
            guarded(|| soak::run(&gateway, limits.duration(), limits.seed()))
        }
        Task::Fleet { gateway, replicas, limits } => {
            guarded(|| fleet::run(&gateway, replicas, limits.duration(), limits.seed()))
        }
        Task::Simulate { replicas, limits } => {
            fleet::simulation::print(replicas, limits.duration(), limits.seed());
            Ok(true)
        }
        Task::Bare { listen, body } => http::bare::serve(listen, &body).map(|()| true),
        Task::Floor => rows::start::floor().map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs a task that starts servers, so that they end with it, also after a signal.
fn guarded(task: impl FnOnce() -> Result<bool>) -> Result<bool> {
    let _guard = Guard::new()?;
    task()
}

fn row_name(name: &str) -> std::result::Result<String, String> {
    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("expected one of {}", names.join(", ")))
}

/// Runs the rows, and returns whether no bound is missed.
fn run(gateway: PathBuf, file: Option<PathBuf>, only: &[String]) -> Result<bool> {
    let bench = Bench::new(gateway);
    let mut figures = Vec::new();
    for row in ROWS.iter().filter(|row| only.is_empty() || only.iter().any(|it| it == row.name)) {
        eprintln!("measuring: {}", row.name);
        figures.extend((row.run)(&bench).context(row.name)?);
    }
    println!("{}", table(&figures));
    if let Some(file) = file {
        fs::write(&file, json(&figures)).context(&file.display().to_string())?;
    }
    Ok(figures.iter().all(|figure| figure.verdict() != Verdict::Missed))
}
