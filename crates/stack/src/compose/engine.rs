//! Drives Docker or Podman through its command line and a Compose client.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::process::POLL_INTERVAL;
use crate::{paths, python};

/// The engines' commands, each with its Compose clients, in order of preference.
const ENGINES: &[(&str, &[&[&str]])] = &[
    ("docker", &[&["docker", "compose"], &["docker-compose"]]),
    ("podman", &[&["podman", "compose"], &["podman-compose"]]),
];

/// A small image, pulled to test whether the engine can pull images.
const PROBE_IMAGE: &str = "docker.io/library/hello-world:linux";
/// Longer than a running engine takes to respond.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a reachable registry takes to send [`PROBE_IMAGE`].
const PULL_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than it takes to remove the data of all servers.
const REMOVE_TIMEOUT: Duration = Duration::from_mins(2);
/// Enough of a log to explain why a server did not start.
const LOG_LINES: &str = "12";

/// The label of the containers of the stack's compose file, with the file's folder as its value.
const FOLDER_LABEL: &str = "com.docker.compose.project.working_dir";
/// The label with the service's name.
const SERVICE_LABEL: &str = "com.docker.compose.service";

/// A running engine, and its client that can read the compose file.
#[derive(Debug)]
pub(crate) struct Engine {
    command: &'static str,
    client: &'static [&'static str],
}

/// One container of the compose file, as the engine describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) service: String,
    started: String,
    status: String,
    health: String,
}

impl Engine {
    /// Returns the first engine that runs and has a client. The error gives the reason for each engine that cannot be used.
    pub(crate) fn running() -> Result<Self> {
        Self::first(|_| Ok(()))
    }

    /// Returns the first engine that can also pull images.
    pub(crate) fn able_to_pull() -> Result<Self> {
        Self::first(|command| {
            output(&[command, "image", "inspect", PROBE_IMAGE], COMMAND_TIMEOUT)
                .or_else(|_| output(&[command, "pull", "--quiet", PROBE_IMAGE], PULL_TIMEOUT))
                .map(drop)
                .map_err(|error| format!("it cannot pull an image: {error}"))
        })
    }

    fn first(usable: impl Fn(&str) -> std::result::Result<(), String>) -> Result<Self> {
        let mut errors = Vec::new();
        for &(command, clients) in ENGINES {
            let engine = output(&[command, "ps", "--quiet"], COMMAND_TIMEOUT)
                .and_then(|_| client(clients))
                .and_then(|client| usable(command).map(|()| Self { command, client }));
            match engine {
                Ok(engine) => return Ok(engine),
                Err(error) => errors.push(format!("{command}: {error}")),
            }
        }
        Err(Error::new(format!("no container engine can be used ({})", errors.join("; "))))
    }

    /// Returns the containers of the compose file, running or not.
    pub(super) fn containers(&self) -> Result<Vec<Container>> {
        let ours = format!("label={FOLDER_LABEL}={}", paths::workspace().display());
        let list = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &ours];
        let ids = self.output(&list)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let inspect: Vec<_> = std::iter::once("inspect").chain(ids.lines()).collect();
        let json = self.output(&inspect)?;
        let descriptions: Vec<Value> = serde_json::from_str(&json)
            .map_err(|error| Error::new(format!("{} inspect: {error}", self.command)))?;
        Ok(descriptions.iter().filter_map(Container::from_json).collect())
    }

    /// Creates and starts containers for these services; pulls and builds the images that are missing.
    pub(super) fn start(&self, services: &[&str]) -> Result<()> {
        let mut client = self.client();
        self.run(client.args(["up", "--detach", "--build"]).args(services))
    }

    /// Kills these containers, and removes them with their data.
    pub(super) fn remove<'a>(&self, containers: impl Iterator<Item = &'a Container>) -> Result<()> {
        let ids: Vec<_> = containers.map(|container| container.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // Otherwise Podman waits for each container to stop. A container that has already exited is not an error.
        self.output(&[&["kill"], ids.as_slice()].concat()).ok();
        let remove = [&[self.command, "rm", "--force", "--volumes"], ids.as_slice()].concat();
        output(&remove, REMOVE_TIMEOUT)
            .map(drop)
            .map_err(|error| Error::new(format!("{} rm: {error}", self.command)))
    }

    /// Removes all containers of the compose file, its network and the gateway.
    pub(super) fn down(&self) -> Result<()> {
        let mut client = self.client();
        // Without its profile, the gateway is not removed.
        client.env("COMPOSE_PROFILES", "gateway");
        self.run(client.args(["down", "--volumes", "--timeout", "0"]))
    }

    /// Prints the end of a container's log to standard error.
    pub(super) fn show_log(&self, container: &Container) -> Result<()> {
        let mut logs = Command::new(self.command);
        python::run(logs.args(["logs", "--tail", LOG_LINES, &container.id]), self.command)
    }

    fn output(&self, args: &[&str]) -> Result<String> {
        output(&[&[self.command], args].concat(), COMMAND_TIMEOUT)
            .map_err(|error| Error::new(format!("{} {}: {error}", self.command, args[0])))
    }

    /// Returns a command that runs the client in the folder of the compose file.
    fn client(&self) -> Command {
        let mut client = Command::new(self.client[0]);
        client.args(&self.client[1..]).current_dir(paths::workspace());
        client
    }

    fn run(&self, client: &mut Command) -> Result<()> {
        python::run(client, &format!("`{}`", self.client.join(" ")))
    }
}

impl Container {
    /// Reads the output of `inspect`; `None` if the container belongs to no service.
    fn from_json(json: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = &json["State"];
        Some(Self {
            id: json["Id"].as_str()?.to_owned(),
            service: json["Config"]["Labels"][SERVICE_LABEL].as_str()?.to_owned(),
            started: text(&state["StartedAt"]),
            status: text(&state["Status"]),
            health: text(&state["Health"]["Status"]),
        })
    }

    /// Identifies the container and its last start.
    pub(super) fn identity(&self) -> String {
        format!("{} {}", self.id, self.started)
    }

    /// Returns the short form of its ID.
    pub(super) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether the container runs and its health check succeeds.
    pub(super) fn is_healthy(&self) -> bool {
        self.status == "running" && self.health == "healthy"
    }

    /// Returns the state that keeps the container from becoming healthy, if any.
    pub(super) fn failure(&self) -> Option<&str> {
        match (self.status.as_str(), self.health.as_str()) {
            ("created" | "running" | "restarting", "unhealthy") => Some("unhealthy"),
            ("created" | "running" | "restarting" | "starting" | "initialized", _) => None,
            (status, _) => Some(status),
        }
    }
}

/// Returns the first client that can read the compose file. The error gives the reason for each client.
fn client(
    clients: &'static [&'static [&'static str]],
) -> std::result::Result<&'static [&'static str], String> {
    let mut errors = Vec::new();
    for &client in clients {
        let run = |args: &[&str]| output(&[client, args].concat(), COMMAND_TIMEOUT);
        match run(&["version"]).and_then(|_| run(&["config", "--quiet"])) {
            Ok(_) => return Ok(client),
            Err(error) => errors.push(format!("`{}`: {error}", client.join(" "))),
        }
    }
    Err(format!("it has no client for docker-compose.yml: {}", errors.join(", ")))
}

/// Runs a command, and returns its standard output, or the error that it prints.
fn output(args: &[&str], timeout: Duration) -> std::result::Result<String, String> {
    match run(args, timeout) {
        Ok((Some(status), stdout, _)) if status.success() => Ok(stdout.trim().to_owned()),
        Ok((Some(status), _, stderr)) => {
            Err(first_error(&stderr).unwrap_or_else(|| status.to_string()))
        }
        Ok((None, ..)) => Err(format!("no response within {} s", timeout.as_secs_f32())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("not installed".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the first line of an error, and the next one if the first ends in a colon. The lines after it are hints.
fn first_error(stderr: &str) -> Option<String> {
    // Podman logs before it prints the error.
    let is_error = |line: &&str| !line.is_empty() && !line.starts_with("time=");
    let mut lines = stderr.lines().map(str::trim).filter(is_error);
    let first = lines.next()?;
    let more = lines.next().filter(|_| first.ends_with(':'));
    Some(more.map_or_else(|| first.to_owned(), |more| format!("{first} {more}")))
}

/// Runs a command, and returns its status, standard output and standard error. The status is `None` if it was killed after `timeout`.
fn run(args: &[&str], timeout: Duration) -> io::Result<(Option<ExitStatus>, String, String)> {
    // Files, because a full pipe would block the command while this function waits for it.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = Command::new(args[0])
        .args(&args[1..])
        .current_dir(paths::workspace())
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()?;
    let deadline = Instant::now() + timeout;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(POLL_INTERVAL);
    };
    Ok((status, read_all(&mut stdout)?, read_all(&mut stderr)?))
}

fn read_all(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn a_command_returns_its_output_or_its_first_error() {
        assert_eq!(
            output(&["sh", "-c", "echo noise >&2; echo yes"], TIMEOUT),
            Ok("yes".to_owned())
        );
        let refused = output(&["sh", "-c", "echo why >&2; echo hint >&2; exit 3"], TIMEOUT);
        assert_eq!(refused, Err("why".to_owned()));
        let noise = "time=\"now\" level=warning\n\nInvalid because:\n  ports are no number\nhint\n";
        let error = "Invalid because: ports are no number";
        assert_eq!(first_error(noise).as_deref(), Some(error));
        assert_eq!(output(&["false"], TIMEOUT), Err("exit status: 1".to_owned()));
        assert_eq!(output(&["no-such-engine", "ps"], TIMEOUT), Err("not installed".to_owned()));
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let started_at = Instant::now();
        let hung = output(&["sleep", "60"], Duration::from_millis(500));
        assert_eq!(hung, Err("no response within 0.5 s".to_owned()));
        assert!(started_at.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_container_is_healthy_if_it_runs_and_its_check_succeeds() {
        let container = |status: &str, health: &Value| {
            let json = json!({
                "Id": "0123456789abcdef",
                "State": {"Status": status, "StartedAt": "2024-01-01T00:00:00Z", "Health": health},
                "Config": {"Labels": {SERVICE_LABEL: "redis"}},
            });
            Container::from_json(&json).unwrap()
        };
        let healthy = container("running", &json!({"Status": "healthy"}));
        assert!(healthy.is_healthy() && healthy.failure().is_none());
        assert_eq!((healthy.short_id(), healthy.service.as_str()), ("0123456789ab", "redis"));
        let starting = container("running", &json!({"Status": "starting"}));
        assert!(!starting.is_healthy() && starting.failure().is_none());
        let created = container("created", &json!({"Status": ""}));
        assert!(!created.is_healthy() && created.failure().is_none());
        let unhealthy = container("running", &json!({"Status": "unhealthy"}));
        assert_eq!(unhealthy.failure(), Some("unhealthy"));
        let ended = container("exited", &json!({"Status": "healthy"}));
        assert!(!ended.is_healthy());
        assert_eq!(ended.failure(), Some("exited"));
        assert_eq!(Container::from_json(&json!({"Id": "1", "Config": {"Labels": null}})), None);
    }
}
