//! The image as a container: started as an operator would, asked for the report, and stopped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use stack::{Error, Result};

use super::{LIMITS, ask, podman};
use crate::{cargo, files};

const POLL: Duration = Duration::from_millis(50);
/// Orders of magnitude more than it takes.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// The name of this machine in the container, so that the static binary has to resolve one.
const BACKENDS: &str = "backends";
/// Where slirp4netns lets a container find this machine's 127.0.0.1.
const HOST: &str = "10.0.2.2";

/// What a container said and took.
pub(super) struct Outcome {
    /// The whole report.
    pub(super) report: Value,
    /// The most memory that the gateway had, in bytes.
    pub(super) memory: u64,
}

/// Starts the image with the demo's configuration and gets the report; the gateway must say that it is healthy, and end by itself when it is asked to.
pub(super) fn run(image: &str, configuration: &Path) -> Result<Outcome> {
    configure(configuration)?;
    let container = Container::start(image, configuration)?;
    let report = container.report()?;
    container.check_health(image)?;
    let memory = container.memory()?;
    container.end()?;
    Ok(Outcome { report, memory })
}

/// Writes the demo's configuration as the container sees the backends, with the files that it refers to.
fn configure(folder: &Path) -> Result<()> {
    let failure = |error| Error::new(format!("write {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failure)?;
    let demo = stack::demo_config();
    let text = files::read(&demo)?.replace("127.0.0.1:", &format!("{BACKENDS}:"));
    fs::write(folder.join("demo.toml"), text).map_err(failure)?;
    for name in ["role-id", "secret-id"] {
        // Written anew, since ours may only be read by us, and the container's user is another.
        fs::write(folder.join(name), files::read(&demo.with_file_name(name))?).map_err(failure)?;
    }
    Ok(())
}

/// A running container, which is removed when this value is dropped.
struct Container {
    id: String,
    /// Where its endpoint is published.
    endpoint: SocketAddr,
    /// Where it answers for itself.
    own: SocketAddr,
}

impl Container {
    fn start(image: &str, configuration: &Path) -> Result<Self> {
        let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port()?));
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port()?));
        let mut create = podman(&["create"]);
        create
            .args(["--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"])
            .args(["--security-opt", "no-new-privileges"])
            .args(["--network", "slirp4netns:allow_host_loopback=true"])
            .args(["--add-host", &format!("{BACKENDS}:{HOST}")])
            .args(["--publish", &format!("{endpoint}:8080")])
            .args(["--publish", &format!("{own}:8081")])
            .args(["--volume", &format!("{}:/etc/health-gateway:ro", configuration.display())])
            // Podman leaves the repetition of a health check to systemd, which is not everywhere; we call it ourselves.
            .arg("--no-healthcheck")
            .args(LIMITS)
            .arg(image);
        let container = Self { id: cargo::output(&mut create)?.trim().to_owned(), endpoint, own };
        // What was created is removed even if it cannot be started.
        ask(&["start", &container.id])?;
        container.wait_until_ready()?;
        Ok(container)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match stack::http::request(self.own, "GET", "/readyz", &[], "") {
                Ok(answer) if answer.status == 200 => return Ok(()),
                _ if self.inspect("{{.State.Status}}")? != "running" => {
                    // The log of the gateway is on its standard error, and so it comes to ours.
                    ask(&["logs", &self.id])?;
                    return Err(Error::new("the container ended by itself; its log is above"));
                }
                Ok(answer) if Instant::now() > deadline => {
                    return Err(Error::new(format!("the container answers {}", answer.status)));
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                _ => thread::sleep(POLL),
            }
        }
    }

    fn report(&self) -> Result<Value> {
        let path = format!("/api/health/{}/", stack::access_token()?);
        let answer =
            stack::http::request(self.endpoint, "GET", &path, &["Accept: application/json"], "")?;
        if answer.status != 200 {
            return Err(Error::new(format!("the container answers {}", answer.status)));
        }
        serde_json::from_str(&answer.body)
            .map_err(|error| Error::new(format!("read the report: {error}")))
    }

    /// The peak so far, from a line such as `VmHWM:     24680 kB`.
    fn memory(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.inspect("{{.State.Pid}}")?);
        let text = files::read(Path::new(&file))?;
        let peak = text.lines().find_map(|line| {
            let amount = line.strip_prefix("VmHWM:")?.strip_suffix("kB")?;
            amount.trim().parse::<u64>().ok()
        });
        peak.map(|peak| peak * 1024).ok_or_else(|| Error::new(format!("{file} tells no memory")))
    }

    /// Runs what the image names as its `HEALTHCHECK` in the container.
    fn check_health(&self, image: &str) -> Result<()> {
        let test = ask(&["image", "inspect", "--format", "{{json .HealthCheck.Test}}", image])?;
        let test: Vec<String> = serde_json::from_str(&test)
            .map_err(|error| Error::new(format!("read the image's health check: {error}")))?;
        let Some(("CMD", command)) = test.split_first().map(|(kind, rest)| (kind.as_str(), rest))
        else {
            return Err(Error::new(format!("the image's health check is no command: {test:?}")));
        };
        cargo::output(podman(&["exec", &self.id]).args(command)).map(drop)
    }

    /// Asks it to end, and expects that it does so in time and in order.
    fn end(&self) -> Result<()> {
        ask(&["stop", "--time", "20", &self.id])?;
        match self.inspect("{{.State.ExitCode}}")?.as_str() {
            "0" => Ok(()),
            code => {
                Err(Error::new(format!("the container was asked to end, and did so with {code}")))
            }
        }
    }

    fn inspect(&self, format: &str) -> Result<String> {
        let text = ask(&["container", "inspect", "--format", format, &self.id])?;
        Ok(text.trim().to_owned())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = ask(&["rm", "--force", "--time", "0", &self.id]) {
            eprintln!("{error}");
        }
    }
}
