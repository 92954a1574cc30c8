//! `new-probe NAME`: creates a probe crate from templates and registers it.
//!
//! All texts are computed before the first file is written, and a failure restores what was written.

mod register;

use std::fs;
use std::path::{Path, PathBuf};

use stack::{Error, Result};

use crate::cargo;
use crate::files::read;

/// The files of a new crate, with the placeholders `{crate}`, `{module}` and `{kind}`.
const TEMPLATES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("templates/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("templates/lib.rs.txt")),
    ("tests/it/main.rs", include_str!("templates/main.rs.txt")),
    // The tests start a server of their own, so they need no shared backend.
    ("tests/backends", ""),
];

/// Creates the crate in this workspace and prints the next steps.
pub(crate) fn run(name: &str) -> Result<()> {
    let changes = changes(stack::workspace(), name)?;
    let lock = stack::workspace().join("Cargo.lock");
    let before = read(&lock)?;
    apply(&changes)?;
    let update = cargo::run(&mut cargo::cargo(&["update", "--workspace", "--offline", "--quiet"]));
    if let Err(error) = update {
        restore(&changes);
        write(&lock, &before)?;
        return Err(error);
    }
    let probe = format!("probe-{name}");
    eprintln!("created crates/{probe} and registered it in the gateway");
    eprintln!("test it with `cargo xtask test {probe}`");
    eprintln!("docs/adding-a-probe.md describes the next steps");
    Ok(())
}

/// A file to be written, with its previous text if it exists.
struct Change {
    path: PathBuf,
    before: Option<String>,
    after: String,
}

/// Returns all changes under `root` that create the probe `name`.
fn changes(root: &Path, name: &str) -> Result<Vec<Change>> {
    let names = Names::new(name)?;
    let folder = root.join("crates").join(&names.package);
    if folder.exists() {
        return Err(Error::new(format!("crates/{} already exists", names.package)));
    }
    let mut changes: Vec<Change> = TEMPLATES
        .iter()
        .map(|(file, template)| Change {
            path: folder.join(file),
            before: None,
            after: names.fill(template),
        })
        .collect();
    for (file, edit) in register::EDITS {
        let path = root.join(file);
        let before = read(&path)?;
        let after = edit(&before, &names).ok_or_else(|| {
            Error::new(format!("{file}: found no list to add `{}` to", names.package))
        })?;
        changes.push(Change { path, before: Some(before), after });
    }
    Ok(changes)
}

/// The spellings of one probe's name.
struct Names {
    /// `probe-cloud-front`
    package: String,
    /// `probe_cloud_front`
    module: String,
    /// `cloud_front`, as in the section of the configuration.
    kind: String,
}

impl Names {
    fn new(name: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let words = name.split('-').all(|word| !word.is_empty());
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !(begins && words && name.len() <= 40 && name.chars().all(fits)) {
            return Err(Error::new(
                "the name of a probe is up to 40 lower-case letters, digits and single dashes, and begins with a letter",
            ));
        }
        let package = format!("probe-{name}");
        Ok(Self { module: package.replace('-', "_"), kind: name.replace('-', "_"), package })
    }

    fn fill(&self, template: &str) -> String {
        template
            .replace("{crate}", &self.package)
            .replace("{module}", &self.module)
            .replace("{kind}", &self.kind)
    }
}

fn apply(changes: &[Change]) -> Result<()> {
    for change in changes {
        let folder = change.path.parent().unwrap_or(Path::new("."));
        let made = fs::create_dir_all(folder)
            .map_err(|error| Error::new(format!("create {}: {error}", folder.display())));
        if let Err(error) = made.and_then(|()| write(&change.path, &change.after)) {
            restore(changes);
            return Err(error);
        }
    }
    Ok(())
}

/// Restores the previous files. Errors are ignored, since the caller reports the one that came first.
fn restore(changes: &[Change]) {
    for change in changes {
        match &change.before {
            Some(before) => fs::write(&change.path, before).ok(),
            None => fs::remove_file(&change.path).ok(),
        };
        // `remove_dir` leaves folders that are not empty.
        let folders = change.path.ancestors().skip(1).take(3);
        for folder in folders.filter(|_| change.before.is_none()) {
            fs::remove_dir(folder).ok();
        }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::new(format!("write {}: {error}", path.display())))
}

#[cfg(test)]
mod guide;
#[cfg(test)]
mod tests;
