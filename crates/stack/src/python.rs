//! Installs Python packages with `uv`, in a virtual environment below `.stack`.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Context, Error, Result};
use crate::paths;

/// The Debian package with Python and its `venv` module.
pub(crate) const PACKAGE: &str = "python3-venv";

/// Debian's Python, because another one in the developer's `PATH` may have any version.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// pip's settings, each with uv's variable for it, because `uv` does not read pip's configuration.
const SETTINGS: &[(&str, &str)] = &[
    ("index-url", "UV_DEFAULT_INDEX"),
    ("extra-index-url", "UV_INDEX"),
    ("find-links", "UV_FIND_LINKS"),
    ("no-index", "UV_NO_INDEX"),
    ("trusted-host", "UV_INSECURE_HOST"),
    ("cert", "SSL_CERT_FILE"),
];

/// Returns the path of a program that a Python package provides.
pub(crate) fn program(name: &str) -> PathBuf {
    environment().join("bin").join(name)
}

/// Whether exactly this requirement is installed, in an environment that is complete.
pub(crate) fn has(requirement: &str) -> bool {
    let is_marked = |requirement| {
        fs::read(marker(requirement))
            .is_ok_and(|path| path == environment().as_os_str().as_encoded_bytes())
    };
    is_marked(UV) && is_marked(requirement)
}

/// Whether Python is installed with its `venv` module.
pub(crate) fn can_create_environments() -> bool {
    let status = Command::new(PYTHON)
        .args(["-c", "import ensurepip, venv"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Installs the requirements into the environment, which is created if it is missing.
pub(crate) fn install(mut requirements: Vec<&str>) -> Result<()> {
    requirements.sort_unstable();
    requirements.dedup();
    if requirements.is_empty() {
        return Ok(());
    }
    let mut uv = uv()?;
    eprintln!("installing the Python packages {}", requirements.join(" "));
    uv.args(["pip", "install", "--python"]).arg(program("python")).args(&requirements);
    run(&mut uv, "uv")?;
    requirements.into_iter().try_for_each(write_marker)
}

/// Returns a command that runs `uv` with pip's settings, after creating the environment if it is missing.
pub(crate) fn uv() -> Result<Command> {
    if !has(UV) {
        create_environment()?;
    }
    let mut uv = Command::new(program("uv"));
    uv.envs(pip_settings()?);
    Ok(uv)
}

/// The requirement with the marker that shows that the environment is complete.
const UV: &str = "uv==0.13.9";

/// Creates the environment, replacing one that was moved with its checkout, because its programs do not find their Python.
fn create_environment() -> Result<()> {
    eprintln!("creating a Python environment with uv in .stack/venv");
    let folder = environment();
    run(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&folder), "python3 -m venv")?;
    run(Command::new(program("pip")).args(["install", UV]), "pip")?;
    paths::create(folder.join("installed"))?;
    write_marker(UV)
}

/// Returns pip's settings as variables for uv.
fn pip_settings() -> Result<Vec<(&'static str, String)>> {
    let output = Command::new(program("pip"))
        .args(["config", "list"])
        .output()
        .context(|| "start pip".to_owned())?;
    Ok(as_uv_settings(&String::from_utf8_lossy(&output.stdout)))
}

/// Parses lines such as `global.index-url='https://...'`; a variable that is already set is kept.
fn as_uv_settings(list: &str) -> Vec<(&'static str, String)> {
    let setting = |section: &str, line: &str| {
        let (key, value) = line.strip_prefix(section)?.split_once('=')?;
        let (_, variable) = SETTINGS.iter().find(|(name, _)| *name == key)?;
        let value = value.trim_matches('\'').replace("\\n", " ");
        std::env::var_os(variable).is_none().then(|| (*variable, value.trim().to_owned()))
    };
    // A later section overrides an earlier one, as in pip.
    ["global.", "install.", ":env:."]
        .iter()
        .flat_map(|section| list.lines().filter_map(|line| setting(section, line)))
        .collect()
}

/// Runs a command with its output on standard error; a failure is an error.
pub(crate) fn run(command: &mut Command, name: &str) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .context(|| format!("start {name}"))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!("{name} failed ({status}); its output is above")))
}

fn environment() -> PathBuf {
    paths::resolved(paths::state().join("venv"))
}

/// Returns the file that marks a requirement as installed, and contains the path of the environment.
fn marker(requirement: &str) -> PathBuf {
    environment().join("installed").join(requirement)
}

fn write_marker(requirement: &str) -> Result<()> {
    let marker = marker(requirement);
    fs::write(&marker, environment().as_os_str().as_encoded_bytes())
        .context(|| format!("write {}", marker.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_settings_become_those_of_uv() {
        // The format of `pip config list`, which escapes the line breaks of a list.
        let list = [
            r":env:.default-timeout='9'",
            r":env:.find-links='/srv/wheels'",
            r"global.extra-index-url='\nhttps://a/simple\nhttps://b/simple'",
            r"global.find-links='/old'",
        ];
        let settings = as_uv_settings(&list.join("\n"));
        let value = |name| settings.iter().rev().find(|(variable, _)| *variable == name);
        assert_eq!(value("UV_INDEX").unwrap().1, "https://a/simple https://b/simple");
        assert_eq!(value("UV_FIND_LINKS").unwrap().1, "/srv/wheels");
        assert!(settings.iter().all(|(name, _)| name.starts_with("UV_")));
    }
}
