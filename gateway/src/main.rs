//! The command line of `health-gateway`.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use gateway::config::ConfigError;
use gateway::config_report::{ConfigFormat, ConfigReport};
use gateway::log::DroppedLines;
use gateway::metrics::Metrics;
use gateway::namespaces::Namespaces;
use gateway::oneshot::{ColorChoice, Format, ProbeOptions, Rounds};
use gateway::signals::StopSignals;
use gateway::{
    admin, http as server, log, oneshot, open_files, permissions, runtime, scheduler, signals,
};
use probe::Cause;
use probe::config::{FromNode as _, Node, Value, ValueError};
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
    /// Run the checks and print the results, without a server.
    ///
    /// Exits with 0 if all are working, with 1 if some are not, and with 2 if they could not be run. With `--format nagios`, the codes are those of a plugin: 0, 1 for warnings, 2 if a critical check fails, and 3.
    Probe {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        arguments: ProbeArguments,
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
        /// The format of the output: `text`, `json`, or `github` for annotations of a workflow.
        #[arg(long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
        format: ConfigFormat,
    },
}

#[derive(Debug, Args)]
struct ProbeArguments {
    /// Run only these components, such as `redis`, or single checks, such as `cache.data`, separated by commas; a comma in a name is written `\,`.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The format of the results: `table`, `json`, `junit`, `nagios` or `prometheus`.
    #[arg(long, value_name = "FORMAT", default_value = "table", hide_possible_values = true)]
    format: Format,
    /// The same as `--format json`: the endpoint's JSON; for several namespaces, each under its name.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Run the checks again and again, every 2 seconds or at another interval, until Ctrl-C; for `table` and `json`.
    #[arg(long, value_name = "INTERVAL", value_parser = interval, num_args = 0..=1, require_equals = true, default_missing_value = "2s", conflicts_with = "wait")]
    watch: Option<Duration>,
    /// Run the checks again until all are working, for at most this time.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,
    /// List the steps of each check with their times below it in the table, and print warnings of the checks.
    #[arg(long)]
    verbose: bool,
    /// Colour the table: `auto`, which follows the terminal, `NO_COLOR` and `CLICOLOR_FORCE`, `always` or `never`.
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    color: ColorChoice,
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
    match Arguments::try_parse().map(|arguments| arguments.command) {
        Err(error) => usage(&error),
        Ok(Command::CheckConfig { files, format }) => check_config(&files, format),
        Ok(Command::Permissions { files }) => permissions(&files),
        Ok(Command::Healthcheck { health_listen }) => healthcheck(health_listen),
        Ok(Command::Probe { files, arguments }) => {
            let format = arguments.format;
            let ended = arguments.options().and_then(|options| probe(&files.config, &options));
            ended.unwrap_or_else(|message| cannot_probe(format, &message))
        }
        Ok(Command::Serve { files, listen, health_listen }) => {
            if let Err(error) = runtime::check_threads() {
                return cannot_run(&cannot_start_threads(error));
            }
            let log = log::start(LevelFilter::INFO, LevelFilter::WARN);
            let (report_dropped, dropped) = (log.report_dropped(), log.dropped());
            let ended = run(async move {
                tokio::spawn(report_dropped);
                serve(&files.config, listen, health_listen, dropped).await
            });
            ended.unwrap_or_else(|message| cannot_run(&message))
        }
    }
}

/// Prints what is wrong with the arguments as one line, or the help that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let is_help =
        !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help {
        // The reader may have closed its end.
        drop(error.print());
        return ExitCode::from(if error.use_stderr() { CANNOT_RUN } else { 0 });
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_error = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more");
    let line = lines.filter(is_error).collect::<Vec<_>>().join(" ");
    let hint = if error.kind() == ErrorKind::UnknownArgument { ", see `--help`" } else { "" };
    print_error(line + hint);
    // The format is not known if another argument is wrong.
    let is_plugin = std::env::args().any(|it| it == "nagios" || it == "--format=nagios");
    ExitCode::from(if is_plugin { Format::Nagios.cannot_run() } else { CANNOT_RUN })
}

fn duration(text: &str) -> Result<Duration, String> {
    let node = Node { line: 1, value: Value::String(text.to_owned()) };
    Duration::from_node(&node).map_err(|error| match error {
        ValueError::Wrong(message) => message,
        ValueError::Unknown(failure) => failure.render(""),
    })
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_secs(1) {
        return Err("expected an interval of at least `1s`".to_owned());
    }
    Ok(interval)
}

impl ProbeArguments {
    fn options(self) -> Result<ProbeOptions, String> {
        let Self { only, format, json, watch, wait, verbose, color } = self;
        let format = if json { Format::Json } else { format };
        if watch.is_some() && !matches!(format, Format::Table | Format::Json) {
            return Err("--watch: expected `--format table` or `--format json`".to_owned());
        }
        if verbose && format != Format::Table {
            return Err("--verbose: expected `--format table`".to_owned());
        }
        let rounds = match (watch, wait) {
            (Some(interval), _) => Rounds::Watch(interval),
            (None, Some(limit)) => Rounds::Wait(limit),
            (None, None) => Rounds::Once,
        };
        Ok(ProbeOptions { only, format, color, verbose, rounds })
    }
}

fn run(command: impl Future<Output = Result<ExitCode, String>>) -> Result<ExitCode, String> {
    runtime::run(command).map_err(cannot_start_threads).flatten()
}

fn cannot_start_threads(error: io::Error) -> String {
    format!("cannot start threads: {}", Cause::from(error).text())
}

fn cannot_run(message: &str) -> ExitCode {
    print_error(message);
    ExitCode::from(CANNOT_RUN)
}

/// Prints lines to standard error. Names in them, such as those of files and keys, do not steer the terminal. `eprintln!` would panic if that is closed, or is a file on a full disk.
fn print_error(message: impl Display) {
    let text = oneshot::escape_lines(&message.to_string());
    drop(writeln!(io::stderr(), "{text}"));
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

fn check_config(files: &[PathBuf], format: ConfigFormat) -> ExitCode {
    let report = ConfigReport::new(files);
    let (output, errors) = report.write(format);
    // Each error ends with its line.
    drop(io::stderr().write_all(oneshot::escape_lines(&errors).as_bytes()));
    match print(&oneshot::escape_lines(&output)) {
        Ok(()) if report.is_valid() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(message) => cannot_run(&message),
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
    if let Err(message) = print(&oneshot::escape_lines(&permissions.to_string())) {
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

/// Prints to standard output, unless the reader has closed it.
fn print(text: &str) -> Result<(), String> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot print: {}", Cause::from(error).text()))
        }
        _ => Ok(()),
    }
}

fn probe(config: &[PathBuf], options: &ProbeOptions) -> Result<ExitCode, String> {
    runtime::check_threads().map_err(cannot_start_threads)?;
    // The results are printed, so only errors are logged, and the warnings of checks on request.
    let libraries = if options.verbose { LevelFilter::WARN } else { LevelFilter::ERROR };
    let _log = log::start(LevelFilter::ERROR, libraries);
    run(run_probe(config, options))
}

fn cannot_probe(format: Format, message: &str) -> ExitCode {
    if format == Format::Nagios {
        drop(print(&oneshot::nagios_unknown(message)));
    } else {
        print_error(message);
    }
    ExitCode::from(format.cannot_run())
}

async fn run_probe(config: &[PathBuf], options: &ProbeOptions) -> Result<ExitCode, String> {
    let mut stops = StopSignals::listen_in_terminal().map_err(cannot_wait_for_signals)?;
    let namespaces = Namespaces::open_alone(config).map_err(|errors| lines(&errors))?;
    let ended = tokio::select! {
        ended = oneshot::run(&namespaces, options) => ended.map(ExitCode::from),
        signal = stops.next() => Ok(signal.exit_code()),
    };
    // A second signal does not wait for the removal of what the checks have made.
    tokio::select! {
        () = namespaces.close() => {}
        signal = stops.next() => return Ok(signal.exit_code()),
    }
    ended
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
    let namespaces = Namespaces::open(config).map_err(|errors| lines(&errors))?;
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
    if io::stdout().is_terminal() {
        print(&addresses(listen, health_listen))?;
    }
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

/// The addresses of the endpoint, the metrics and the health listener, for a terminal.
fn addresses(listen: SocketAddr, health_listen: Option<SocketAddr>) -> String {
    let own = match health_listen {
        Some(own) => format!(
            "metrics          http://{own}/metrics\n\
             own health       http://{own}/livez and /readyz\n"
        ),
        None => "metrics          with --health-listen ADDRESS:PORT\n".to_owned(),
    };
    format!("report and page  http://{listen}/api/health/<access_token>/\n{own}")
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

fn lines(errors: &[ConfigError]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("\n")
}

/// Reloads all `namespaces` whenever `reload` is notified.
async fn reload_when_notified(namespaces: Arc<Namespaces>, reload: Arc<Notify>) {
    loop {
        reload.notified().await;
        namespaces.reload();
    }
}
