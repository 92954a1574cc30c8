//! The crates of the workspace: their dependencies, and the backends of their tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use stack::{Error, Result};

use crate::{cargo, files};

/// The file in which a crate lists the shared backends that its tests need, one on each line.
const BACKENDS: &str = "tests/backends";

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    folder: PathBuf,
    /// The crates of the workspace that it or its tests depend on.
    dependencies: Vec<String>,
}

/// All crates of the workspace.
pub(crate) struct Workspace {
    root: PathBuf,
    packages: Vec<Package>,
}

impl Workspace {
    /// Reads `cargo metadata`.
    pub(crate) fn read() -> Result<Self> {
        let mut metadata = cargo::cargo(&["metadata", "--no-deps", "--format-version", "1"]);
        let output = cargo::output(&mut metadata)?;
        let parsed: Value = serde_json::from_str(&output)
            .map_err(|error| Error::new(format!("read `cargo metadata`: {error}")))?;
        let packages = parsed["packages"].as_array().into_iter().flatten();
        let packages: Option<_> = packages.map(package).collect();
        let packages = packages.ok_or_else(|| {
            Error::new("`cargo metadata`: a package has no name, folder or dependencies")
        })?;
        Ok(Self { root: stack::workspace().to_owned(), packages })
    }

    /// Returns the crates with these names.
    pub(crate) fn named(&self, names: &[String]) -> Result<Vec<&Package>> {
        let find = |name: &String| {
            self.packages.iter().find(|package| package.name == *name).ok_or_else(|| {
                let known: Vec<_> = self.packages.iter().map(|one| one.name.as_str()).collect();
                Error::new(format!("unknown crate `{name}`; expected one of {}", known.join(", ")))
            })
        };
        names.iter().map(find).collect()
    }

    /// Returns the crates affected by the changes since `commit`, sorted by name.
    pub(crate) fn changed_since(&self, commit: &str) -> Result<Vec<&str>> {
        let mut git = Command::new("git");
        // Three dots exclude later commits of the other branch.
        git.args(["diff", "--name-only", "--no-renames", &format!("{commit}...HEAD")]);
        let files = cargo::output(git.current_dir(&self.root))?;
        Ok(self.affected_by(files.lines().map(Path::new)))
    }

    /// Returns the crates that contain these files, and all that depend on them.
    ///
    /// A file outside all crates affects all of them, except documents, which the gateway's tests check.
    fn affected_by<'a>(&self, files: impl Iterator<Item = &'a Path>) -> Vec<&str> {
        let mut affected = BTreeSet::new();
        for file in files {
            let path = self.root.join(file);
            match self.packages.iter().find(|package| path.starts_with(&package.folder)) {
                Some(package) => affected.insert(package.name.as_str()),
                None if file.extension().is_some_and(|extension| extension == "md") => {
                    affected.insert("gateway")
                }
                None => return self.packages.iter().map(|package| package.name.as_str()).collect(),
            };
        }
        loop {
            let depends = |package: &&Package| {
                package.dependencies.iter().any(|name| affected.contains(name.as_str()))
            };
            let further: Vec<_> = self.packages.iter().filter(depends).collect();
            let before = affected.len();
            affected.extend(further.iter().map(|package| package.name.as_str()));
            if affected.len() == before {
                return affected.into_iter().collect();
            }
        }
    }
}

impl Package {
    /// Returns the backends that its tests need; none if the file does not exist.
    pub(crate) fn backends(&self) -> Result<Vec<String>> {
        let file = self.folder.join(BACKENDS);
        if !file.exists() {
            return Ok(Vec::new());
        }
        let text = files::read(&file)?;
        for (index, name) in text.lines().enumerate() {
            if !stack::names().any(|known| known == name) {
                let known: Vec<_> = stack::names().collect();
                return Err(Error::new(format!(
                    "{}:{}: unknown backend `{name}`; expected one of {} on each line",
                    file.display(),
                    index + 1,
                    known.join(", ")
                )));
            }
        }
        Ok(text.lines().map(str::to_owned).collect())
    }
}

fn package(value: &Value) -> Option<Package> {
    let dependencies = value["dependencies"].as_array()?.iter();
    let local = dependencies.filter(|dependency| dependency["path"].is_string());
    Some(Package {
        name: value["name"].as_str()?.to_owned(),
        folder: Path::new(value["manifest_path"].as_str()?).parent()?.to_owned(),
        dependencies: local.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn affected(files: &[&str]) -> Vec<String> {
        let workspace = Workspace::read().unwrap();
        let affected = workspace.affected_by(files.iter().map(Path::new));
        affected.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_change_affects_its_crate_and_those_that_depend_on_it() {
        assert_eq!(affected(&["gateway/src/main.rs"]), ["fuzz", "gateway"]);
        assert_eq!(
            affected(&["crates/probe-redis/src/lib.rs"]),
            ["fuzz", "gateway", "probe-redis"]
        );
        let redis = affected(&["crates/redis-client/src/lib.rs"]);
        for dependent in ["gateway", "probe-cache", "probe-celery", "probe-redis", "redis-client"] {
            assert!(redis.iter().any(|name| name == dependent), "{redis:?}");
        }
        assert!(!redis.iter().any(|name| name == "probe-postgres"), "{redis:?}");
        let contract = affected(&["crates/probe/src/lib.rs"]);
        assert!(contract.iter().any(|name| name == "probe-websocket"), "{contract:?}");
    }

    #[test]
    fn a_file_outside_all_crates_affects_all_and_a_document_the_gateway() {
        let all = Workspace::read().unwrap().packages.len();
        assert_eq!(affected(&["Cargo.lock"]).len(), all);
        assert_eq!(affected(&["docs/endpoint.md", "README.md"]), ["fuzz", "gateway"]);
        assert!(affected(&[]).is_empty());
    }

    #[test]
    fn every_crate_lists_known_backends() {
        for package in Workspace::read().unwrap().packages {
            package.backends().unwrap();
        }
    }

    #[test]
    fn the_error_for_an_unknown_backend_contains_its_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tests")).unwrap();
        fs::write(folder.path().join(BACKENDS), "redis\nrabit\n").unwrap();
        let folder = folder.path().to_owned();
        let package = Package { name: "p".to_owned(), folder, dependencies: Vec::new() };
        let error = package.backends().unwrap_err().to_string();
        assert!(error.contains("tests/backends:2: unknown backend `rabit`; expected "), "{error}");
    }
}
