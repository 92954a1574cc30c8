//! Installs the Debian and Python packages that are missing on this machine.

use std::path::PathBuf;

use crate::error::Result;
use crate::pinned::PinnedVenv;
use crate::{debian, python};

/// A package or environment that must be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    /// A Debian package, which counts as installed if this file exists; a folder `*` matches a version number.
    Debian {
        /// Its name.
        package: &'static str,
        /// One of its files.
        file: &'static str,
    },
    /// A Python package with its version.
    Python {
        /// The package with its version: `name==1.2`.
        requirement: &'static str,
    },
    /// Python packages with pinned versions, in their own virtual environment.
    Pinned(&'static PinnedVenv),
}

/// Installs the dependencies that are missing on this machine, and reports progress on standard error.
pub fn install(dependencies: impl Iterator<Item = Dependency>) -> Result<()> {
    let mut packages = Vec::new();
    let mut requirements = Vec::new();
    let mut environments = Vec::new();
    for dependency in dependencies {
        match dependency {
            Dependency::Debian { package, file } if find(file).is_none() => packages.push(package),
            Dependency::Python { requirement } if !python::has(requirement) => {
                requirements.push(requirement);
            }
            Dependency::Pinned(pinned)
                if !pinned.is_installed() && !environments.contains(&pinned) =>
            {
                environments.push(pinned);
            }
            Dependency::Debian { .. } | Dependency::Python { .. } | Dependency::Pinned(_) => {}
        }
    }
    let python_needed = !requirements.is_empty() || !environments.is_empty();
    if python_needed && !python::can_create_environments() {
        packages.push(python::PACKAGE);
    }
    debian::install(packages)?;
    python::install(requirements)?;
    environments.into_iter().try_for_each(PinnedVenv::install)
}

/// Finds a file; a folder `*` in its path matches the highest version number that has it.
pub(crate) fn find(file: &str) -> Option<PathBuf> {
    let Some((folder, rest)) = file.split_once("/*/") else {
        return Some(PathBuf::from(file)).filter(|file| file.exists());
    };
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join(rest)))
        })
        .filter(|(_, file)| file.exists())
        .collect();
    found.sort();
    found.pop().map(|(_, file)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9", "15", "common"] {
            std::fs::create_dir_all(folder.path().join(version).join("bin/initdb")).unwrap();
        }
        std::fs::create_dir_all(folder.path().join("17/lib")).unwrap();
        let pattern = format!("{}/*/bin/initdb", folder.path().display());
        assert_eq!(find(&pattern), Some(folder.path().join("15/bin/initdb")));
    }
}
