//! Installs Debian packages as root, or through `sudo` without a password.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use crate::error::{Context, Error, Result};
use crate::paths;

/// Installs the packages without starting any service. Without the privileges, the error contains the command for an administrator.
pub(crate) fn install(mut packages: Vec<&str>) -> Result<()> {
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(Error::new(format!(
            "this is not Debian; install the content of its packages {list} with this system's package manager"
        )));
    }
    let script = paths::workspace().join("crates/stack/src/install.sh");
    let mut command = if geteuid().is_root() {
        Command::new("sh")
    } else if sudo_needs_no_password() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    } else {
        return Err(Error::new(format!(
            "Debian packages are missing, and only an administrator may install them:\n  sudo sh {} {list}",
            script.display()
        )));
    };
    eprintln!("installing the Debian packages {list}");
    let status = command
        .arg(script)
        .args(&packages)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .context(|| "start apt-get".to_owned())?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!("installing the Debian packages {list} failed; its output is above")))
}

fn sudo_needs_no_password() -> bool {
    let status = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
