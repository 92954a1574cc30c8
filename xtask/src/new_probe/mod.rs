//! `new-probe NAME`: a new crate from templates, and its registration in the workspace and in the gateway.
//!
//! Every text is made before the first file is written, and a failure takes back what was written.

mod register;

use std::fs;
use std::path::{Path, PathBuf};

use stack::{Error, Result};

use crate::cargo;
use crate::files::read;

/// The files of a new crate, with `{crate}`, `{module}` and `{kind}` to be filled in.
const TEMPLATES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("templates/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("templates/lib.rs.txt")),
    ("tests/it/main.rs", include_str!("templates/main.rs.txt")),
    // The tests bring a server of their own, so they need none of the shared stack.
    ("tests/backends", ""),
];

/// Makes the crate in this workspace and tells what comes next.
pub(crate) fn run(name: &str) -> Result<()> {
    let changes = changes(stack::workspace(), name)?;
    let lock = stack::workspace().join("Cargo.lock");
    let before = read(&lock)?;
    apply(&changes)?;
    let update = cargo::run(&mut cargo::cargo(&["update", "--workspace", "--offline", "--quiet"]));
    if let Err(error) = update {
        take_back(&changes);
        write(&lock, &before)?;
        return Err(error);
    }
    let probe = format!("probe-{name}");
    eprintln!(
        "made crates/{probe} and registered it in the gateway; what it asks is in its src/lib.rs"
    );
    eprintln!("try it: cargo xtask test {probe}");
    eprintln!("what comes next is told in docs/adding-a-probe.md");
    Ok(())
}

/// A file to be written, and what was there before.
struct Change {
    path: PathBuf,
    before: Option<String>,
    after: String,
}

/// Everything that a new probe of this name changes under `root`.
fn changes(root: &Path, name: &str) -> Result<Vec<Change>> {
    let names = Names::new(name)?;
    let folder = root.join("crates").join(&names.package);
    if folder.exists() {
        return Err(Error::new(format!("crates/{} exists already", names.package)));
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
            Error::new(format!("{file}: the place for `{}` was not found", names.package))
        })?;
        changes.push(Change { path, before: Some(before), after });
    }
    Ok(changes)
}

/// What one name becomes in the places where it stands.
struct Names {
    /// `probe-cloud-front`
    package: String,
    /// `probe_cloud_front`
    module: String,
    /// `cloud_front`, as sections of the configuration are called.
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
            take_back(changes);
            return Err(error);
        }
    }
    Ok(())
}

/// Restores what was there before, as far as that is possible: the error that led here is the one to report.
fn take_back(changes: &[Change]) {
    for change in changes {
        match &change.before {
            Some(before) => fs::write(&change.path, before).ok(),
            None => fs::remove_file(&change.path).ok(),
        };
        // Folders that became empty; one that holds anything stays.
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
mod tests;
