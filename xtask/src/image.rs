//! `image`: builds and measures the container image, and requests a report from it.

mod container;
mod size;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::Mode as FileMode;
use rustix::process::umask;
use stack::{Backends, Dependency, Error, Mode, Result};

use crate::table::{rows, table};
use crate::{cargo, files, release};

/// The image's local name.
const NAME: &str = "localhost/health-gateway:latest";
/// The maximum compressed size in bytes, which is what a node downloads.
const LIMIT: u64 = 10_000_000;
/// All files and folders of the image.
const CONTENT: [&str; 5] =
    ["etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/ca-certificates.crt", "health-gateway"];
/// The path of the certificates, in the image and on this machine.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// The engine's default limits are more than an unprivileged user may have.
const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

/// Podman on all machines: it needs no daemon, is a Debian package, and a container can connect to this machine's 127.0.0.1 while only its published ports are reachable from outside.
const DEPENDENCIES: [Dependency; 4] = [
    Dependency::Debian { package: "podman", file: "/usr/bin/podman" },
    // Rootless podman needs it.
    Dependency::Debian { package: "uidmap", file: "/usr/bin/newuidmap" },
    Dependency::Debian { package: "slirp4netns", file: "/usr/bin/slirp4netns" },
    Dependency::Debian { package: "ca-certificates", file: "/etc/ssl/certs/ca-certificates.crt" },
];
/// The runtime for machines with both versions of cgroups mounted, where podman's default runtime fails.
const RUNC: Dependency = Dependency::Debian { package: "runc", file: "/usr/sbin/runc" };
/// The mount point of cgroups v2 in hybrid mode.
const CGROUPS_HYBRID: &str = "/sys/fs/cgroup/unified";

/// Fails unless every check of the report is `working` and the image is small enough.
pub(crate) fn run() -> Result<()> {
    // The image's user must be able to read the files that are written here.
    umask(FileMode::from_raw_mode(0o022));
    // Docker's packages contain runc at another path, and conflict with Debian's.
    let runc = (needs_runc() && !Path::new("/usr/bin/runc").exists()).then_some(RUNC);
    stack::install(DEPENDENCIES.into_iter().chain(runc))?;
    let how = build()?;
    let image = size::measure(NAME, &folder()?.join("pushed"))?;
    if image.content != CONTENT {
        let content = image.content.join(" ");
        return Err(Error::new(format!("the image has unexpected content: {content}")));
    }
    stack::up(&Backends::all(), Mode::Automatic)?;
    let run = container::run(NAME, &folder()?.join("configuration"))?;
    let rows = rows(&run.report);
    println!("\n{}", table(&rows));
    println!("{NAME}: {how}");
    println!(
        "{} bytes compressed, of {LIMIT} at most; {} bytes unpacked",
        image.compressed, image.unpacked
    );
    println!("{} bytes of memory after this report", run.memory);
    if image.compressed >= LIMIT {
        return Err(Error::new("the image is too large"));
    }
    if rows.iter().any(|row| row.status != "working") {
        return Err(Error::new("a check of the image's report is not `working`"));
    }
    Ok(())
}

/// Builds the image, and returns how: only its last stage if the base image cannot be pulled.
fn build() -> Result<&'static str> {
    let text = files::read(&stack::workspace().join("Dockerfile"))?;
    let base = base(&text).ok_or_else(|| Error::new("the Dockerfile has no `FROM`"))?;
    // OCI's format does not support HEALTHCHECK.
    let mut build = podman(&["build", "--format", "docker", "--network", "host", "--tag", NAME]);
    build.args(LIMITS);
    if is_available(base)? {
        cargo::run(build.arg("."))?;
        return Ok("built by the Dockerfile");
    }
    eprintln!("cannot pull {base}; building the last stage with a binary built on this machine");
    let stage = folder()?.join("stage");
    files::remove(&stage)?;
    write_build_output(&stage.join("out"))?;
    build.arg("--build-context").arg(format!("build={}", stage.display()));
    cargo::run(build.arg("."))?;
    Ok("the Dockerfile's last stage, with a binary built on this machine")
}

/// Returns the base image of the first stage.
pub(crate) fn base(dockerfile: &str) -> Option<&str> {
    dockerfile.lines().find_map(|line| line.strip_prefix("FROM ")?.split(' ').next())
}

/// Whether an image exists on this machine or can be pulled.
fn is_available(image: &str) -> Result<bool> {
    let succeeds = |args: &[&str]| {
        let mut podman = podman(args);
        let status = podman.stdout(Stdio::null()).status();
        status
            .map(|status| status.success())
            .map_err(|error| Error::new(format!("start podman: {error}")))
    };
    Ok(succeeds(&["image", "exists", image])? || succeeds(&["pull", "--quiet", image])?)
}

/// Writes the files that the first stage would leave in `/out`.
fn write_build_output(out: &Path) -> Result<()> {
    let binary = release::binary()?;
    let copy = |from: &Path, to: &str| {
        let to = out.join(to);
        let folder = to.parent().unwrap_or(out);
        fs::create_dir_all(folder)
            .and_then(|()| fs::copy(from, &to))
            .map_err(|error| Error::new(format!("copy {}: {error}", from.display())))
    };
    copy(&binary, "health-gateway")?;
    copy(&Path::new("/").join(CERTIFICATES), CERTIFICATES)?;
    Ok(())
}

/// Returns the folder of this task's files.
fn folder() -> Result<PathBuf> {
    let folder = stack::state().join("image");
    fs::create_dir_all(&folder)
        .map_err(|error| Error::new(format!("create {}: {error}", folder.display())))?;
    Ok(folder)
}

/// Returns a podman command in the workspace's folder.
fn podman(args: &[&str]) -> Command {
    let mut podman = Command::new("podman");
    if needs_runc() {
        podman.args(["--runtime", "runc"]);
    }
    podman.args(args);
    podman.current_dir(stack::workspace()).stdin(Stdio::null()).stdout(io::stderr());
    podman
}

fn needs_runc() -> bool {
    Path::new(CGROUPS_HYBRID).exists()
}

/// Runs podman, and returns its output.
fn podman_output(args: &[&str]) -> Result<String> {
    cargo::output(&mut podman(args))
}
