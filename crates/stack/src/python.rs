//! Python packages, in an environment of our own under `.stack`, installed by `uv`.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Context, Error, Result};
use crate::place;

/// The Debian package that brings Python, and what it needs to make environments.
pub(crate) const PACKAGE: &str = "python3-venv";

/// Debian's own Python: one that a developer put before it may be of any version.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// `uv` knows nothing of pip's configuration, so we hand it over: how pip names a setting, and uv's variable for it.
const SETTINGS: &[(&str, &str)] = &[
    ("index-url", "UV_DEFAULT_INDEX"),
    ("extra-index-url", "UV_INDEX"),
    ("find-links", "UV_FIND_LINKS"),
    ("no-index", "UV_NO_INDEX"),
    ("trusted-host", "UV_INSECURE_HOST"),
    ("cert", "SSL_CERT_FILE"),
];

/// The file of a program that a Python package brought.
pub(crate) fn program(name: &str) -> PathBuf {
    environment().join("bin").join(name)
}

/// Whether exactly this requirement is installed, in an environment that will not be made anew.
pub(crate) fn has(requirement: &str) -> bool {
    let marked = |requirement| {
        fs::read(mark(requirement))
            .is_ok_and(|place| place == environment().as_os_str().as_encoded_bytes())
    };
    marked(UV) && marked(requirement)
}

/// Whether Python is there with its `venv` module.
pub(crate) fn can_make_environments() -> bool {
    let silent = Command::new(PYTHON)
        .args(["-c", "import ensurepip, venv"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    silent.is_ok_and(|status| status.success())
}

/// Installs the requirements into our environment, which is made when it is missing.
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
    requirements.into_iter().try_for_each(set_mark)
}

/// A call of `uv` with pip's settings, after our environment with it was made if it was missing.
pub(crate) fn uv() -> Result<Command> {
    if !has(UV) {
        make_environment()?;
    }
    let mut uv = Command::new(program("uv"));
    uv.envs(pip_settings()?);
    Ok(uv)
}

/// What makes the environment complete.
const UV: &str = "uv==0.13.9";

/// An environment does not survive being moved with its checkout, so an old one is made anew.
fn make_environment() -> Result<()> {
    eprintln!("making a Python environment with uv in .stack/venv");
    let folder = environment();
    run(Command::new(PYTHON).args(["-m", "venv", "--clear"]).arg(&folder), "python3 -m venv")?;
    run(Command::new(program("pip")).args(["install", UV]), "pip")?;
    place::make(folder.join("installed"))?;
    set_mark(UV)
}

/// pip's settings as variables for uv.
fn pip_settings() -> Result<Vec<(&'static str, String)>> {
    let output = Command::new(program("pip"))
        .args(["config", "list"])
        .output()
        .context(|| "start pip".to_owned())?;
    Ok(as_uv_settings(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads lines such as `global.index-url='https://...'`; a variable that is set for uv already stays as it is.
fn as_uv_settings(list: &str) -> Vec<(&'static str, String)> {
    let setting = |section: &str, line: &str| {
        let (key, value) = line.strip_prefix(section)?.split_once('=')?;
        let (_, variable) = SETTINGS.iter().find(|(name, _)| *name == key)?;
        let value = value.trim_matches('\'').replace("\\n", " ");
        std::env::var_os(variable).is_none().then(|| (*variable, value.trim().to_owned()))
    };
    // The later section wins, as it does for pip.
    ["global.", "install.", ":env:."]
        .iter()
        .flat_map(|section| list.lines().filter_map(|line| setting(section, line)))
        .collect()
}

/// Runs a command that must succeed, with its output on standard error.
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
    place::state().join("venv")
}

/// The file that says a requirement is installed, and where: in a moved environment no program finds its Python.
fn mark(requirement: &str) -> PathBuf {
    environment().join("installed").join(requirement)
}

fn set_mark(requirement: &str) -> Result<()> {
    let mark = mark(requirement);
    fs::write(&mark, environment().as_os_str().as_encoded_bytes())
        .context(|| format!("write {}", mark.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_settings_become_those_of_uv() {
        // As `pip config list` prints them: a list's line breaks are two characters.
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
