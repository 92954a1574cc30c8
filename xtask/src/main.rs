//! The project's tasks, called through `cargo xtask`.
//!
//! This file is the command line only; each task is a file of its own.

mod cargo;
mod demo;
mod deny;
mod gateway;
mod new_probe;
mod table;
mod test;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's tasks.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start the backends on this machine, installing what is missing.
    Up,
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
    /// Check everything that must hold, with all tests against the real backends.
    Test,
    /// Make a new probe crate and register it.
    NewProbe {
        /// What it probes: lower-case letters, digits and dashes.
        name: String,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Up => stack::up().map(|_| ()),
        Task::Down => stack::down(),
        Task::Demo { once: false, listen } => demo::serve(listen),
        Task::Demo { once: true, listen } => demo::once(listen),
        Task::Test => test::run(),
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
