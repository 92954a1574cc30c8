//! The command line of `health-gateway`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use gateway::namespaces::Namespaces;
use gateway::{config, face, log, own_health, probing};
use probe::Cause;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

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
        #[command(flatten)]
        files: Files,
        /// Where to listen.
        #[arg(
            long,
            env = "HEALTH_GATEWAY_LISTEN",
            value_name = "ADDRESS:PORT",
            default_value = "127.0.0.1:8080"
        )]
        listen: SocketAddr,
        /// Where to answer for the gateway itself, on `/livez`, `/readyz` and `/version`; nowhere if it is not given.
        #[arg(long, env = "HEALTH_GATEWAY_HEALTH_LISTEN", value_name = "ADDRESS:PORT")]
        health_listen: Option<SocketAddr>,
    },
    /// Run every check once and say what it found, without a server.
    ///
    /// Exits with 0 if all are working, with 1 if some are not, and with 2 if they could not be run.
    Probe {
        #[command(flatten)]
        files: Files,
        /// Components such as `redis`, or single checks such as `cache.data`: nothing else is run.
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        only: Vec<String>,
        /// Print what the endpoint would answer in place of a table; of several namespaces, each under its name.
        #[arg(long)]
        json: bool,
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

#[derive(Debug, Args)]
struct Files {
    /// Configuration files, or folders of `*.toml` files: one file for each namespace.
    #[arg(
        long,
        env = "HEALTH_GATEWAY_CONFIG",
        value_name = "PATH",
        value_delimiter = ':',
        default_value = "/etc/health-gateway"
    )]
    config: Vec<PathBuf>,
}

/// The gateway could not start, or could not do what it was asked for.
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::CheckConfig { files } => check_config(&files),
        Command::Probe { files, only, json } => {
            // What the checks say is printed; only what nobody would learn otherwise is logged.
            log::start(LevelFilter::ERROR);
            run(probe(&files.config, &only, json))
        }
        Command::Serve { files, listen, health_listen } => {
            log::start(LevelFilter::INFO);
            run(serve(&files.config, listen, health_listen))
        }
    }
}

fn run(command: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended =
        runtime.map_err(|error| format!("cannot start the runtime: {error}")).and_then(|runtime| {
            let ended = runtime.block_on(command);
            // A check that blocks its thread must not hold up the end of the process.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|message| {
        eprintln!("{message}");
        ExitCode::from(CANNOT_RUN)
    })
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

async fn probe(config: &[PathBuf], only: &[String], json: bool) -> Result<ExitCode, String> {
    let namespaces = open(config)?;
    let found = probing::probe(&namespaces, only).await;
    namespaces.close().await;
    let found = found?;
    let text = if json { found.json() } else { found.table() };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| format!("cannot print: {}", Cause::from(error).text()))?;
    Ok(if found.all_working() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(
    config: &[PathBuf],
    listen: SocketAddr,
    health_listen: Option<SocketAddr>,
) -> Result<ExitCode, String> {
    // The endpoint opens last: whoever finds it open finds the other one as well.
    let own = match health_listen {
        Some(address) => Some((address, bind(address).await?)),
        None => None,
    };
    let listener = bind(listen).await?;
    let namespaces = open(config)?;
    let stop = stop().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let draining = CancellationToken::new();
    if let Some((address, listener)) = own {
        tracing::info!(listen = %address, "listening for questions about the gateway itself");
        tokio::spawn(own_health::serve(listener, draining.clone()));
    }
    let stop = async {
        stop.await;
        draining.cancel();
    };
    tracing::info!(%listen, "listening");
    let limits = face::Limits::default();
    face::serve(listener, face::app(Arc::clone(&namespaces)), limits, stop).await;
    namespaces.close().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| format!("cannot listen on {address}: {}", Cause::from(error).text()))
}

fn open(config: &[PathBuf]) -> Result<Arc<Namespaces>, String> {
    Namespaces::open(config).map_err(|wrong| {
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        wrong.join("\n")
    })
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
