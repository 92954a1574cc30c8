//! Runs the image as a container, requests its report, and stops it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use stack::{Error, Result};

use super::{LIMITS, podman, podman_output};
use crate::{cargo, files};

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Much longer than the container takes to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The name of this machine in the container, so that the static binary must resolve a name.
const BACKENDS: &str = "backends";
/// The address at which slirp4netns exposes this machine's 127.0.0.1 to a container.
const HOST: &str = "10.0.2.2";

/// The results of running a container.
pub(super) struct ContainerRun {
    /// The report.
    pub(super) report: Value,
    /// The gateway's peak resident memory, in bytes.
    pub(super) memory: u64,
}

/// Starts the image with the demo's configuration, requests the report, runs the health check, and stops the container.
pub(super) fn run(image: &str, configuration: &Path) -> Result<ContainerRun> {
    configure(configuration)?;
    let container = Container::start(image, configuration)?;
    let report = container.report()?;
    container.check_health(image)?;
    let memory = container.memory()?;
    container.stop()?;
    Ok(ContainerRun { report, memory })
}

/// Writes the demo's configuration with the backends' addresses for the container, and the files that it refers to.
fn configure(folder: &Path) -> Result<()> {
    let failure = |error| Error::new(format!("write {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failure)?;
    let demo = stack::demo_config();
    let text = files::read(&demo)?.replace("127.0.0.1:", &format!("{BACKENDS}:"));
    fs::write(folder.join("demo.toml"), text).map_err(failure)?;
    for name in ["role-id", "secret-id"] {
        // The originals are readable by their owner only, and the container runs as another user.
        fs::write(folder.join(name), files::read(&demo.with_file_name(name))?).map_err(failure)?;
    }
    Ok(())
}

/// A running container, which is removed when this value is dropped.
struct Container {
    id: String,
    /// The published address of the report's endpoint.
    endpoint: SocketAddr,
    /// The published address of the gateway's own health endpoints.
    health: SocketAddr,
}

impl Container {
    fn start(image: &str, configuration: &Path) -> Result<Self> {
        let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port()?));
        let health = SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port()?));
        let mut create = podman(&["create"]);
        create
            .args(["--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"])
            .args(["--security-opt", "no-new-privileges"])
            .args(["--network", "slirp4netns:allow_host_loopback=true"])
            .args(["--add-host", &format!("{BACKENDS}:{HOST}")])
            .args(["--publish", &format!("{endpoint}:8080")])
            .args(["--publish", &format!("{health}:8081")])
            .args(["--volume", &format!("{}:/etc/health-gateway:ro", configuration.display())])
            // Podman needs systemd to schedule health checks; this task runs the check itself.
            .arg("--no-healthcheck")
            .args(LIMITS)
            .arg(image);
        let container =
            Self { id: cargo::output(&mut create)?.trim().to_owned(), endpoint, health };
        // The value exists before the start, so that the container is removed if the start fails.
        podman_output(&["start", &container.id])?;
        container.wait_until_ready()?;
        Ok(container)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            match stack::http::request(self.health, "GET", "/readyz", &[], "") {
                Ok(response) if response.status == 200 => return Ok(()),
                _ if self.inspect("{{.State.Status}}")? != "running" => {
                    // This prints the gateway's log, which is on standard error.
                    podman_output(&["logs", &self.id])?;
                    return Err(Error::new("the container exited; its log is above"));
                }
                Ok(response) if Instant::now() > deadline => {
                    return Err(Error::new(format!(
                        "the container responds with {}",
                        response.status
                    )));
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                _ => thread::sleep(POLL_INTERVAL),
            }
        }
    }

    fn report(&self) -> Result<Value> {
        let path = format!("/api/health/{}/", stack::access_token()?);
        let response =
            stack::http::request(self.endpoint, "GET", &path, &["Accept: application/json"], "")?;
        if response.status != 200 {
            return Err(Error::new(format!("the container responds with {}", response.status)));
        }
        serde_json::from_str(&response.body)
            .map_err(|error| Error::new(format!("read the report: {error}")))
    }

    /// Returns the peak resident memory, from a line such as `VmHWM:     24680 kB`.
    fn memory(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.inspect("{{.State.Pid}}")?);
        let text = files::read(Path::new(&file))?;
        let peak = text.lines().find_map(|line| {
            let amount = line.strip_prefix("VmHWM:")?.strip_suffix("kB")?;
            amount.trim().parse::<u64>().ok()
        });
        peak.map(|peak| peak * 1024).ok_or_else(|| Error::new(format!("{file}: no `VmHWM`")))
    }

    /// Runs the image's `HEALTHCHECK` in the container.
    fn check_health(&self, image: &str) -> Result<()> {
        let test =
            podman_output(&["image", "inspect", "--format", "{{json .HealthCheck.Test}}", image])?;
        let test: Vec<String> = serde_json::from_str(&test)
            .map_err(|error| Error::new(format!("read the image's health check: {error}")))?;
        let Some(("CMD", command)) = test.split_first().map(|(kind, rest)| (kind.as_str(), rest))
        else {
            return Err(Error::new(format!("the image's health check is not a command: {test:?}")));
        };
        cargo::output(podman(&["exec", &self.id]).args(command)).map(drop)
    }

    /// Stops the container, which must exit with status 0.
    fn stop(&self) -> Result<()> {
        podman_output(&["stop", "--time", "20", &self.id])?;
        match self.inspect("{{.State.ExitCode}}")?.as_str() {
            "0" => Ok(()),
            code => {
                Err(Error::new(format!("the container was stopped, and exited with status {code}")))
            }
        }
    }

    fn inspect(&self, format: &str) -> Result<String> {
        let text = podman_output(&["container", "inspect", "--format", format, &self.id])?;
        Ok(text.trim().to_owned())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(error) = podman_output(&["rm", "--force", "--time", "0", &self.id]) {
            eprintln!("{error}");
        }
    }
}
