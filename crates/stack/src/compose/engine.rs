//! The container engine of this machine, asked through its own command and through a client that reads compose files.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::process::POLL;
use crate::{place, python};

/// The engines by their commands, each with its clients, the preferred ones first.
const ENGINES: &[(&str, &[&[&str]])] = &[
    ("docker", &[&["docker", "compose"], &["docker-compose"]]),
    ("podman", &[&["podman", "compose"], &["podman-compose"]]),
];

/// The smallest image there is, to see whether any can be had.
const SMALLEST: &str = "docker.io/library/hello-world:linux";
/// An engine that is there answers in less.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// A registry that can be reached sends the smallest image in less.
const PULLS_WITHIN: Duration = Duration::from_secs(30);
/// Removing the data of all servers takes less.
const REMOVES_WITHIN: Duration = Duration::from_mins(2);
/// So much of a log explains why a server did not start.
const LOG_LINES: &str = "12";

/// The label by which a client marks the containers of our file: the folder that the file is in.
const FOLDER: &str = "com.docker.compose.project.working_dir";
/// The label with a container's service.
const SERVICE: &str = "com.docker.compose.service";

/// An engine that answers, and the client that reads our file with it.
#[derive(Debug)]
pub(crate) struct Engine {
    command: &'static str,
    client: &'static [&'static str],
}

/// One container of our file, as the engine describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) service: String,
    started: String,
    status: String,
    health: String,
}

impl Engine {
    /// The first engine that answers and has a client; the error says of each what it lacks.
    pub(crate) fn running() -> Result<Self> {
        Self::first(|_| Ok(()))
    }

    /// The first one that can get images, too.
    pub(crate) fn that_can_pull() -> Result<Self> {
        Self::first(|command| {
            ask(&[command, "image", "inspect", SMALLEST], ANSWERS_WITHIN)
                .or_else(|_| ask(&[command, "pull", "--quiet", SMALLEST], PULLS_WITHIN))
                .map(drop)
                .map_err(|why| format!("it cannot pull an image: {why}"))
        })
    }

    fn first(able: impl Fn(&str) -> std::result::Result<(), String>) -> Result<Self> {
        let mut lacks = Vec::new();
        for &(command, clients) in ENGINES {
            let engine = ask(&[command, "ps", "--quiet"], ANSWERS_WITHIN)
                .and_then(|_| client(clients))
                .and_then(|client| able(command).map(|()| Self { command, client }));
            match engine {
                Ok(engine) => return Ok(engine),
                Err(why) => lacks.push(format!("{command}: {why}")),
            }
        }
        Err(Error::new(format!("no container engine can be used ({})", lacks.join("; "))))
    }

    /// Every container of our file, whether it runs or not.
    pub(super) fn containers(&self) -> Result<Vec<Container>> {
        let ours = format!("label={FOLDER}={}", place::workspace().display());
        let list = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &ours];
        let ids = self.ask(&list)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let inspect: Vec<_> = std::iter::once("inspect").chain(ids.lines()).collect();
        let described = self.ask(&inspect)?;
        let described: Vec<Value> = serde_json::from_str(&described)
            .map_err(|error| Error::new(format!("{} inspect: {error}", self.command)))?;
        Ok(described.iter().filter_map(Container::read).collect())
    }

    /// Makes and starts containers for these services, having pulled and built what they need.
    pub(super) fn start(&self, services: &[&str]) -> Result<()> {
        let mut client = self.client();
        self.run(client.args(["up", "--detach", "--build"]).args(services))
    }

    /// Ends these containers at once, and removes them with their data.
    pub(super) fn remove<'a>(&self, containers: impl Iterator<Item = &'a Container>) -> Result<()> {
        let ids: Vec<_> = containers.map(|container| container.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // Podman would give each its time to end by itself; one that has ended already is no reason to stop here.
        self.ask(&[&["kill"], ids.as_slice()].concat()).ok();
        let remove = [&[self.command, "rm", "--force", "--volumes"], ids.as_slice()].concat();
        ask(&remove, REMOVES_WITHIN)
            .map(drop)
            .map_err(|why| Error::new(format!("{} rm: {why}", self.command)))
    }

    /// Ends and removes everything of our file, with its network and the gateway.
    pub(super) fn clean(&self) -> Result<()> {
        let mut client = self.client();
        // Otherwise the gateway would not count as part of the file.
        client.env("COMPOSE_PROFILES", "gateway");
        self.run(client.args(["down", "--volumes", "--timeout", "0"]))
    }

    /// Shows the end of what a container has said, on standard error.
    pub(super) fn show_log(&self, container: &Container) -> Result<()> {
        let mut logs = Command::new(self.command);
        python::run(logs.args(["logs", "--tail", LOG_LINES, &container.id]), self.command)
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        ask(&[&[self.command], words].concat(), ANSWERS_WITHIN)
            .map_err(|why| Error::new(format!("{} {}: {why}", self.command, words[0])))
    }

    /// A call of the client in the folder of our file.
    fn client(&self) -> Command {
        let mut client = Command::new(self.client[0]);
        client.args(&self.client[1..]).current_dir(place::workspace());
        client
    }

    fn run(&self, client: &mut Command) -> Result<()> {
        python::run(client, &format!("`{}`", self.client.join(" ")))
    }
}

impl Container {
    /// From the engine's description; none if it is no service's.
    fn read(described: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = &described["State"];
        Some(Self {
            id: described["Id"].as_str()?.to_owned(),
            service: described["Config"]["Labels"][SERVICE].as_str()?.to_owned(),
            started: text(&state["StartedAt"]),
            status: text(&state["Status"]),
            health: text(&state["Health"]["Status"]),
        })
    }

    /// Tells it from every other, and from itself before a restart.
    pub(super) fn identity(&self) -> String {
        format!("{} {}", self.id, self.started)
    }

    /// Its id as people write it.
    pub(super) fn name(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Whether it runs, and its own check has found it healthy.
    pub(super) fn is_healthy(&self) -> bool {
        self.status == "running" && self.health == "healthy"
    }

    /// What keeps it from ever becoming healthy, if anything does.
    pub(super) fn failure(&self) -> Option<&str> {
        match (self.status.as_str(), self.health.as_str()) {
            ("created" | "running" | "restarting", "unhealthy") => Some("unhealthy"),
            ("created" | "running" | "restarting" | "starting" | "initialized", _) => None,
            (status, _) => Some(status),
        }
    }
}

/// The first client that understands our file; the reasons of the others are in the error.
fn client(
    clients: &'static [&'static [&'static str]],
) -> std::result::Result<&'static [&'static str], String> {
    let mut lacks = Vec::new();
    for &client in clients {
        let tell = |words: &[&str]| ask(&[client, words].concat(), ANSWERS_WITHIN);
        match tell(&["version"]).and_then(|_| tell(&["config", "--quiet"])) {
            Ok(_) => return Ok(client),
            Err(why) => lacks.push(format!("`{}`: {why}", client.join(" "))),
        }
    }
    Err(format!("it has no client for docker-compose.yml: {}", lacks.join(", ")))
}

/// Runs a command that ends by itself, and gives what it prints; the error is what it complains.
fn ask(words: &[&str], within: Duration) -> std::result::Result<String, String> {
    match run(words, within) {
        Ok((Some(status), printed, _)) if status.success() => Ok(printed.trim().to_owned()),
        Ok((Some(status), _, complaint)) => {
            Err(first_sentence(&complaint).unwrap_or_else(|| status.to_string()))
        }
        Ok((None, ..)) => Err(format!("no answer within {} s", within.as_secs_f32())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("not installed".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The line that says what is wrong, with the next one if it ends in a colon; what follows are hints.
fn first_sentence(complaint: &str) -> Option<String> {
    // Podman begins with what it logs.
    let said = |line: &&str| !line.is_empty() && !line.starts_with("time=");
    let mut lines = complaint.lines().map(str::trim).filter(said);
    let first = lines.next()?;
    let more = lines.next().filter(|_| first.ends_with(':'));
    Some(more.map_or_else(|| first.to_owned(), |more| format!("{first} {more}")))
}

/// Runs a command for so long at most; gives its status if it ended by itself, what it printed, and what it complained.
fn run(words: &[&str], within: Duration) -> io::Result<(Option<ExitStatus>, String, String)> {
    // Files, since nobody reads a pipe while we wait for the end.
    let (mut printed, mut complaint) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .current_dir(place::workspace())
        .stdin(Stdio::null())
        .stdout(printed.try_clone()?)
        .stderr(complaint.try_clone()?)
        .spawn()?;
    let deadline = Instant::now() + within;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(POLL);
    };
    Ok((status, whole(&mut printed)?, whole(&mut complaint)?))
}

fn whole(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_command_is_asked_for_what_it_prints_and_for_its_first_complaint() {
        assert_eq!(ask(&["sh", "-c", "echo noise >&2; echo yes"], SOON), Ok("yes".to_owned()));
        let refused = ask(&["sh", "-c", "echo why >&2; echo hint >&2; exit 3"], SOON);
        assert_eq!(refused, Err("why".to_owned()));
        let noise = "time=\"now\" level=warning\n\nInvalid because:\n  ports are no number\nhint\n";
        let sentence = "Invalid because: ports are no number";
        assert_eq!(first_sentence(noise).as_deref(), Some(sentence));
        assert_eq!(ask(&["false"], SOON), Err("exit status: 1".to_owned()));
        assert_eq!(ask(&["no-such-engine", "ps"], SOON), Err("not installed".to_owned()));
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let begun = Instant::now();
        let hung = ask(&["sleep", "60"], Duration::from_millis(500));
        assert_eq!(hung, Err("no answer within 0.5 s".to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_container_is_healthy_when_it_runs_and_says_so() {
        let container = |status: &str, health: &Value| {
            let described = json!({
                "Id": "0123456789abcdef",
                "State": {"Status": status, "StartedAt": "2024-01-01T00:00:00Z", "Health": health},
                "Config": {"Labels": {SERVICE: "redis"}},
            });
            Container::read(&described).unwrap()
        };
        let healthy = container("running", &json!({"Status": "healthy"}));
        assert!(healthy.is_healthy() && healthy.failure().is_none());
        assert_eq!((healthy.name(), healthy.service.as_str()), ("0123456789ab", "redis"));
        let starting = container("running", &json!({"Status": "starting"}));
        assert!(!starting.is_healthy() && starting.failure().is_none());
        let created = container("created", &json!({"Status": ""}));
        assert!(!created.is_healthy() && created.failure().is_none());
        let unhealthy = container("running", &json!({"Status": "unhealthy"}));
        assert_eq!(unhealthy.failure(), Some("unhealthy"));
        let ended = container("exited", &json!({"Status": "healthy"}));
        assert!(!ended.is_healthy());
        assert_eq!(ended.failure(), Some("exited"));
        assert_eq!(Container::read(&json!({"Id": "1", "Config": {"Labels": null}})), None);
    }
}
