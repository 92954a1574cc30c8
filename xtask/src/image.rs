//! `image`: builds the container image, measures it, and gets the report of the real backends from it.

mod container;
mod size;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::Mode;
use rustix::process::umask;
use stack::{Backends, Error, Need, Result, Way};

use crate::table::{rows, table};
use crate::{cargo, files, release};

/// What the image is called here.
const NAME: &str = "localhost/health-gateway:latest";
/// In bytes, compressed: what a node downloads.
const LIMIT: u64 = 15_000_000;
/// What is in it, down to the last folder.
const CONTENT: [&str; 5] =
    ["etc/", "etc/ssl/", "etc/ssl/certs/", "etc/ssl/certs/ca-certificates.crt", "health-gateway"];
/// Where the image has its certificates, and this machine as well.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// The engine would ask for more than a user without privileges may have; each connection is a file.
const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

/// One engine for all machines: podman needs no daemon, comes as a package, and can let a container reach servers on this machine's 127.0.0.1 while nothing of it but the published ports can be reached.
const NEEDS: [Need; 4] = [
    Need::Debian { package: "podman", file: "/usr/bin/podman" },
    // How podman works for who is not root.
    Need::Debian { package: "uidmap", file: "/usr/bin/newuidmap" },
    Need::Debian { package: "slirp4netns", file: "/usr/bin/slirp4netns" },
    Need::Debian { package: "ca-certificates", file: "/etc/ssl/certs/ca-certificates.crt" },
];
/// What starts containers where podman's own choice refuses to, because both versions of cgroups are mounted.
const RUNC: Need = Need::Debian { package: "runc", file: "/usr/sbin/runc" };
/// Where the second version of cgroups is mounted beside the first.
const HYBRID: &str = "/sys/fs/cgroup/unified";

/// Fails unless every check of the report says `working` and the image is small enough.
pub(crate) fn run() -> Result<()> {
    // What is written here is read by another user, in the image and beside it.
    umask(Mode::from_raw_mode(0o022));
    // Docker's packages bring runc as well, in another place, and exclude Debian's.
    let runc = (needs_runc() && !Path::new("/usr/bin/runc").exists()).then_some(RUNC);
    stack::install(NEEDS.into_iter().chain(runc))?;
    let made = build()?;
    let image = size::measure(NAME, &folder()?.join("pushed"))?;
    if image.content != CONTENT {
        let content = image.content.join(" ");
        return Err(Error::new(format!(
            "the image holds something else than it should: {content}"
        )));
    }
    stack::up(&Backends::all(), Way::Automatic)?;
    let outcome = container::run(NAME, &folder()?.join("configuration"))?;
    let rows = rows(&outcome.report);
    println!("\n{}", table(&rows));
    println!("{NAME}: {made}");
    println!(
        "{} bytes compressed, of {LIMIT} at most; {} bytes unpacked",
        image.compressed, image.unpacked
    );
    println!("{} bytes of memory after this report", outcome.memory);
    if image.compressed >= LIMIT {
        return Err(Error::new("the image is too large"));
    }
    if rows.iter().any(|row| row.status != "working") {
        return Err(Error::new("the report of the image is not all `working`"));
    }
    Ok(())
}

/// Builds the image as far as this machine can, and says how.
fn build() -> Result<&'static str> {
    let text = files::read(&stack::workspace().join("Dockerfile"))?;
    let base =
        base(&text).ok_or_else(|| Error::new("the Dockerfile names no image to build in"))?;
    // The format keeps the HEALTHCHECK, which OCI's has no place for.
    let mut build = podman(&["build", "--format", "docker", "--network", "host", "--tag", NAME]);
    build.args(LIMITS);
    if is_there(base)? {
        cargo::run(build.arg("."))?;
        return Ok("built by the Dockerfile");
    }
    eprintln!("cannot pull {base}: the last stage is built from a binary of this machine");
    let stage = folder()?.join("stage");
    files::remove(&stage)?;
    fill(&stage.join("out"))?;
    build.arg("--build-context").arg(format!("build={}", stage.display()));
    cargo::run(build.arg("."))?;
    Ok("the Dockerfile's last stage, with a binary built on this machine")
}

/// The image that the first stage begins with.
pub(crate) fn base(dockerfile: &str) -> Option<&str> {
    dockerfile.lines().find_map(|line| line.strip_prefix("FROM ")?.split(' ').next())
}

/// Whether the image is on this machine, after pulling it if it was not.
fn is_there(image: &str) -> Result<bool> {
    let succeeds = |args: &[&str]| {
        let mut podman = podman(args);
        let status = podman.stdout(Stdio::null()).status();
        status
            .map(|status| status.success())
            .map_err(|error| Error::new(format!("start podman: {error}")))
    };
    Ok(succeeds(&["image", "exists", image])? || succeeds(&["pull", "--quiet", image])?)
}

/// Fills a folder with what the first stage would leave in `/out`.
fn fill(out: &Path) -> Result<()> {
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

/// Where everything that this task writes is.
fn folder() -> Result<PathBuf> {
    let folder = stack::state().join("image");
    fs::create_dir_all(&folder)
        .map_err(|error| Error::new(format!("create {}: {error}", folder.display())))?;
    Ok(folder)
}

/// A call of podman in the folder of the workspace.
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
    Path::new(HYBRID).exists()
}

/// What podman prints.
fn ask(args: &[&str]) -> Result<String> {
    cargo::output(&mut podman(args))
}
