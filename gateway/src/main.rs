//! The command line of `health-gateway`.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use gateway::config::{Checked, ConfigError};
use gateway::log::DroppedLines;
use gateway::metrics::Metrics;
use gateway::namespaces::Namespaces;
use gateway::signals::StopSignals;
use gateway::{
    admin, config, http as server, log, oneshot, open_files, permissions, runtime, scheduler,
    signals,
};
use probe::Cause;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

/// Checks whether every backend of an application can do its work right now, and reports it on one endpoint.
#[derive(Debug, Parser)]
#[command(name = "health-gateway", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the endpoint until SIGTERM or Ctrl-C.
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
        /// Where to serve the gateway's own health, on `/livez`, `/readyz`, `/tasks` and `/version`, and its metrics, on `/metrics`; disabled by default.
        #[arg(long, env = "HEALTH_GATEWAY_HEALTH_LISTEN", value_name = "ADDRESS:PORT")]
        health_listen: Option<SocketAddr>,
    },
    /// Run every check once and print the results, without a server.
    ///
    /// Exits with 0 if all are working, with 1 if some are not, and with 2 if they could not be run.
    Probe {
        #[command(flatten)]
        files: Files,
        /// Run only these components, such as `redis`, or single checks, such as `cache.data`.
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        only: Vec<String>,
        /// Print the endpoint's JSON instead of a table; for several namespaces, each under its name.
        #[arg(long)]
        json: bool,
    },
    /// Check that the gateway in this container is serving, whatever the state of its backends.
    ///
    /// Exits with 0 if it is and with 1 otherwise.
    Healthcheck {
        /// The address that was given to `serve`.
        #[arg(long, env = "HEALTH_GATEWAY_HEALTH_LISTEN", value_name = "ADDRESS:PORT")]
        health_listen: SocketAddr,
    },
    /// Print the least privileges that these configuration files need on each backend, without contacting any.
    ///
    /// Exits with 0 if the output is complete, and with 1 if a file is wrong or a value is unknown.
    Permissions {
        /// Configuration files, or folders of `*.toml` files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print everything that is wrong with configuration files, without contacting a backend.
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

/// The exit code of a gateway that could not start, or of a command that could not run.
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    // A core dump would contain every secret. The gateway also runs on kernels that do not support this.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    match Arguments::parse().command {
        Command::CheckConfig { files } => check_config(&files),
        Command::Permissions { files } => permissions(&files),
        Command::Healthcheck { health_listen } => healthcheck(health_listen),
        Command::Probe { .. } | Command::Serve { .. }
            if let Err(error) = runtime::check_threads() =>
        {
            cannot_run(&cannot_start_threads(error))
        }
        Command::Probe { files, only, json } => {
            // The results are printed, so only errors are logged.
            let _log = log::start(LevelFilter::ERROR);
            run(probe(&files.config, &only, json))
        }
        Command::Serve { files, listen, health_listen } => {
            let log = log::start(LevelFilter::INFO);
            let (report_dropped, dropped) = (log.report_dropped(), log.dropped());
            run(async move {
                tokio::spawn(report_dropped);
                serve(&files.config, listen, health_listen, dropped).await
            })
        }
    }
}

fn run(command: impl Future<Output = Result<ExitCode, String>>) -> ExitCode {
    let ended = runtime::run(command).map_err(cannot_start_threads);
    ended.flatten().unwrap_or_else(|message| cannot_run(&message))
}

fn cannot_start_threads(error: io::Error) -> String {
    format!("cannot start threads: {}", Cause::from(error).text())
}

fn cannot_run(message: &str) -> ExitCode {
    print_error(message);
    ExitCode::from(CANNOT_RUN)
}

/// Prints a line to standard error. `eprintln!` would panic if that is closed, or is a file on a full disk.
fn print_error(message: impl Display) {
    drop(writeln!(io::stderr(), "{message}"));
}

fn healthcheck(address: SocketAddr) -> ExitCode {
    match admin::healthcheck(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            print_error(message);
            ExitCode::FAILURE
        }
    }
}

fn check_config(files: &[PathBuf]) -> ExitCode {
    match config::check(files) {
        Ok(namespaces) => {
            let mut lines = Vec::new();
            for (file, Checked { namespace, notes }) in namespaces {
                let file = file.display();
                let notes = notes.diagnostics.iter().map(|note| format!("note: {file}:{note}\n"));
                lines.extend(notes);
                lines.push(format!("{file}: namespace `{namespace}`, nothing wrong\n"));
            }
            match print(&lines.concat()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => cannot_run(&message),
            }
        }
        Err(errors) => {
            print_errors(&errors);
            ExitCode::FAILURE
        }
    }
}

fn permissions(files: &[PathBuf]) -> ExitCode {
    let permissions = match permissions::permissions(files) {
        Ok(permissions) => permissions,
        Err(errors) => {
            print_errors(&errors);
            return ExitCode::FAILURE;
        }
    };
    if let Err(message) = print(&permissions.to_string()) {
        return cannot_run(&message);
    }
    for line in permissions.unknown() {
        print_error(line);
    }
    if permissions.unknown().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_errors(errors: &[ConfigError]) {
    for error in errors {
        print_error(error);
    }
}

fn print(text: &str) -> Result<(), String> {
    let printed = io::stdout().write_all(text.as_bytes());
    printed.map_err(|error| format!("cannot print: {}", Cause::from(error).text()))
}

async fn probe(config: &[PathBuf], only: &[String], json: bool) -> Result<ExitCode, String> {
    let mut stops = StopSignals::listen().map_err(cannot_wait_for_signals)?;
    let namespaces = open(config)?;
    let reports = tokio::select! {
        reports = oneshot::probe(&namespaces, only) => reports,
        signal = stops.next() => {
            // A second signal does not wait for the removal of what the checks have made.
            tokio::select! {
                () = namespaces.close() => {}
                _ = stops.next() => {}
            }
            return Ok(signal.exit_code());
        }
    };
    namespaces.close().await;
    let reports = reports?;
    let text = if json { reports.json() } else { reports.table() };
    print(&text)?;
    Ok(if reports.all_working() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(
    config: &[PathBuf],
    listen: SocketAddr,
    health_listen: Option<SocketAddr>,
    dropped_lines: DroppedLines,
) -> Result<ExitCode, String> {
    let open_files = open_files::raise_limit();
    let (stop, reload) = (CancellationToken::new(), Arc::new(Notify::new()));
    let exit_at_once =
        signals::watch(stop.clone(), reload.clone()).map_err(cannot_wait_for_signals)?;
    let admin = match health_listen {
        Some(address) => Some((address, bind(address)?)),
        None => None,
    };
    let endpoint = bind(listen)?;
    let namespaces = open(config)?;
    tokio::spawn(reload_when_notified(namespaces.clone(), reload));
    let statistics = Arc::new(server::ServerStatistics::default());
    // The endpoint opens last: once it accepts connections, the configuration is loaded and the other listener is open.
    if let Some((address, socket)) = admin {
        let listener = start_listening(address, socket)?;
        let metrics = Metrics::new(&namespaces, statistics.clone(), dropped_lines);
        let start = |listener| admin::start(listener, stop.clone(), Handle::current(), metrics);
        listener.into_std().and_then(start).map_err(|error| cannot_listen(address, error))?;
        tracing::info!(listen = %address, "health listener opened");
    }
    tokio::spawn(scheduler::run(namespaces.clone(), stop.clone()));
    let listener = start_listening(listen, endpoint)?;
    tracing::info!(%listen, "endpoint opened");
    let limits = server::ServerLimits::within(open_files);
    let serving = server::serve(
        listener,
        server::app(Arc::clone(&namespaces)),
        limits,
        statistics,
        stop.cancelled_owned(),
    );
    let drained = async {
        // In a task, so that connections are accepted on the runtime's workers, which serve them.
        tokio::spawn(serving).await.map_err(|error| format!("the endpoint ended: {error}"))?;
        namespaces.close().await;
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    };
    tokio::select! {
        result = drained => result,
        // Not `process::exit`, which would lose the lines of the log that are not written yet.
        Ok(code) = exit_at_once => Ok(code),
    }
}

fn cannot_wait_for_signals(error: io::Error) -> String {
    format!("cannot wait for signals: {}", Cause::from(error).text())
}

/// How many connections the kernel queues until they are accepted.
const BACKLOG: u32 = 4096;

/// Binds an address without listening on it yet.
fn bind(address: SocketAddr) -> Result<TcpSocket, String> {
    let bound = || -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Otherwise the connections of a gateway that has just stopped would block the address.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    bound().map_err(|error| cannot_listen(address, error))
}

fn start_listening(address: SocketAddr, socket: TcpSocket) -> Result<TcpListener, String> {
    socket.listen(BACKLOG).map_err(|error| cannot_listen(address, error))
}

fn cannot_listen(address: SocketAddr, error: io::Error) -> String {
    format!("cannot listen on {address}: {}", Cause::from(error).text())
}

fn open(config: &[PathBuf]) -> Result<Arc<Namespaces>, String> {
    Namespaces::open(config).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        errors.join("\n")
    })
}

/// Reloads all `namespaces` whenever `reload` is notified.
async fn reload_when_notified(namespaces: Arc<Namespaces>, reload: Arc<Notify>) {
    loop {
        reload.notified().await;
        namespaces.reload();
    }
}
