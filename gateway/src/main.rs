//! The command line of `health-gateway`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use gateway::namespaces::Namespaces;
use gateway::{config, face, log};
use probe::Cause;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Asks every backend of an application whether it can do its work right now, and answers on one endpoint.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer on the endpoint until SIGTERM or Ctrl-C.
    Serve {
        /// Configuration files, or folders of `*.toml` files: one file for each namespace.
        #[arg(
            long,
            env = "HEALTH_GATEWAY_CONFIG",
            value_name = "PATH",
            value_delimiter = ':',
            default_value = "/etc/health-gateway"
        )]
        config: Vec<PathBuf>,
        /// Where to listen.
        #[arg(
            long,
            env = "HEALTH_GATEWAY_LISTEN",
            value_name = "ADDRESS:PORT",
            default_value = "127.0.0.1:8080"
        )]
        listen: SocketAddr,
    },
    /// Say everything that is wrong with configuration files, without contacting anything.
    ///
    /// Exits with 0 if nothing is wrong and with 1 otherwise.
    CheckConfig {
        /// Configuration files, or folders of `*.toml` files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// The gateway could not start.
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::CheckConfig { files } => check_config(&files),
        Command::Serve { config, listen } => {
            log::start();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            let served = runtime
                .map_err(|error| format!("cannot start the runtime: {error}"))
                .and_then(|runtime| {
                    let served = runtime.block_on(serve(&config, listen));
                    // A check that blocks its thread must not hold up the end of the process.
                    runtime.shutdown_background();
                    served
                });
            served.map_or_else(
                |message| {
                    eprintln!("{message}");
                    ExitCode::from(CANNOT_RUN)
                },
                |()| ExitCode::SUCCESS,
            )
        }
    }
}

fn check_config(files: &[PathBuf]) -> ExitCode {
    match config::check(files) {
        Ok(namespaces) => {
            for (file, namespace) in namespaces {
                println!("{}: namespace `{namespace}`, nothing wrong", file.display());
            }
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            for mistakes in wrong {
                eprintln!("{mistakes}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: &[PathBuf], listen: SocketAddr) -> Result<(), String> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {}", Cause::from(error).text()))?;
    let namespaces = Namespaces::open(config).map_err(|wrong| {
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        wrong.join("\n")
    })?;
    let stop = stop().map_err(|error| format!("cannot wait for signals: {error}"))?;
    tracing::info!(%listen, "listening");
    let limits = face::Limits::default();
    face::serve(listener, face::app(Arc::clone(&namespaces)), limits, stop).await;
    namespaces.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Completes when the process is asked to end.
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing the answers under way"),
            _ = interrupt.recv() => tracing::info!("SIGINT: finishing the answers under way"),
        }
    })
}
