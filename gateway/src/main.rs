//! The command line of `health-gateway`.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use gateway::namespaces::Namespaces;
use gateway::{admin, config, http as server, log, oneshot, permissions, runtime};
use probe::Cause;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

/// Asks every backend of an application whether it can do its work right now, and answers on one endpoint.
#[derive(Debug, Parser)]
#[command(name = "health-gateway", version)]
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
    /// Ask the gateway that runs in this container whether it serves, whatever its backends do.
    ///
    /// Exits with 0 if it does and with 1 otherwise.
    Healthcheck {
        /// Where it answers for itself: what `serve` was given.
        #[arg(long, env = "HEALTH_GATEWAY_HEALTH_LISTEN", value_name = "ADDRESS:PORT")]
        health_listen: SocketAddr,
    },
    /// Print what each backend must grant for these configuration files and nothing more, without contacting anything.
    ///
    /// Exits with 0 if that is all, and with 1 if a file is wrong or something is not known.
    Permissions {
        /// Configuration files, or folders of `*.toml` files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
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
        Command::Permissions { files } => permissions(&files),
        Command::Healthcheck { health_listen } => healthcheck(health_listen),
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
    let ended = runtime::run(command)
        .map_err(|error| format!("cannot start threads: {}", Cause::from(error).text()));
    ended.flatten().unwrap_or_else(|message| {
        eprintln!("{message}");
        ExitCode::from(CANNOT_RUN)
    })
}

fn healthcheck(address: SocketAddr) -> ExitCode {
    match admin::healthcheck(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
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
            for diagnostics in wrong {
                eprintln!("{diagnostics}");
            }
            ExitCode::FAILURE
        }
    }
}

fn permissions(files: &[PathBuf]) -> ExitCode {
    let permissions = match permissions::permissions(files) {
        Ok(permissions) => permissions,
        Err(wrong) => {
            for diagnostics in wrong {
                eprintln!("{diagnostics}");
            }
            return ExitCode::FAILURE;
        }
    };
    if let Err(message) = print(&permissions.to_string()) {
        eprintln!("{message}");
        return ExitCode::from(CANNOT_RUN);
    }
    for line in permissions.unknown() {
        eprintln!("{line}");
    }
    if permissions.unknown().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(text: &str) -> Result<(), String> {
    let printed = io::stdout().write_all(text.as_bytes());
    printed.map_err(|error| format!("cannot print: {}", Cause::from(error).text()))
}

async fn probe(config: &[PathBuf], only: &[String], json: bool) -> Result<ExitCode, String> {
    let namespaces = open(config)?;
    let found = oneshot::probe(&namespaces, only).await;
    namespaces.close().await;
    let found = found?;
    let text = if json { found.json() } else { found.table() };
    print(&text)?;
    Ok(if found.all_working() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(
    config: &[PathBuf],
    listen: SocketAddr,
    health_listen: Option<SocketAddr>,
) -> Result<ExitCode, String> {
    let own = match health_listen {
        Some(address) => Some((address, bind(address)?)),
        None => None,
    };
    let endpoint = bind(listen)?;
    let namespaces = open(config)?;
    let stop = stop().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let draining = CancellationToken::new();
    // The endpoint opens last: whoever finds it open finds the configuration read, and the other one open as well.
    if let Some((address, socket)) = own {
        let listener = listening(address, socket)?;
        tracing::info!(listen = %address, "listening for questions about the gateway itself");
        tokio::spawn(admin::serve(listener, draining.clone()));
    }
    let stop = async move {
        stop.await;
        draining.cancel();
    };
    let listener = listening(listen, endpoint)?;
    tracing::info!(%listen, "listening");
    let limits = server::ServerLimits::default();
    let serving = server::serve(listener, server::app(Arc::clone(&namespaces)), limits, stop);
    // In a task, so that connections are accepted on the thread that serves them.
    tokio::spawn(serving).await.map_err(|error| format!("the endpoint ended: {error}"))?;
    namespaces.close().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// How many connections the system keeps that were not accepted yet.
const BACKLOG: u32 = 4096;

/// Takes an address, at which nobody is heard yet.
fn bind(address: SocketAddr) -> Result<TcpSocket, String> {
    let bound = || -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections of a gateway that has just ended do not keep its address.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error| cannot_listen(address, error))
}

fn listening(address: SocketAddr, socket: TcpSocket) -> Result<TcpListener, String> {
    socket.listen(BACKLOG).map_err(|error| cannot_listen(address, error))
}

fn cannot_listen(address: SocketAddr, error: io::Error) -> String {
    format!("cannot listen on {address}: {}", Cause::from(error).text())
}

fn open(config: &[PathBuf]) -> Result<Arc<Namespaces>, String> {
    Namespaces::open(config).map_err(|wrong| {
        let wrong: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        wrong.join("\n")
    })
}

/// Completes when the process is asked to end.
fn stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: finishing the answers under way"),
            _ = interrupt.recv() => tracing::info!("SIGINT: finishing the answers under way"),
        }
    })
}
