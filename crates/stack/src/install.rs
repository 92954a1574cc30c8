//! What this machine lacks of what the project needs, and how it gets there.

use std::path::PathBuf;

use crate::error::Result;
use crate::pinned::Pinned;
use crate::{debian, python};

/// One thing that must be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A Debian package, which is there when this file is; a folder `*` stands for a version's number.
    Debian {
        /// Its name.
        package: &'static str,
        /// One of its files.
        file: &'static str,
    },
    /// A Python package with its version.
    Python {
        /// As in `name==1.2`.
        requirement: &'static str,
    },
    /// Python packages with the versions of all that they need.
    Pinned(&'static Pinned),
}

/// Installs those of the needs that this machine lacks, and says on standard error what it does.
pub fn install(needs: impl Iterator<Item = Need>) -> Result<()> {
    let mut packages = Vec::new();
    let mut requirements = Vec::new();
    let mut environments = Vec::new();
    for need in needs {
        match need {
            Need::Debian { package, file } if find(file).is_none() => packages.push(package),
            Need::Python { requirement } if !python::has(requirement) => {
                requirements.push(requirement);
            }
            Need::Pinned(pinned) if !pinned.is_installed() && !environments.contains(&pinned) => {
                environments.push(pinned);
            }
            Need::Debian { .. } | Need::Python { .. } | Need::Pinned(_) => {}
        }
    }
    let python_needed = !requirements.is_empty() || !environments.is_empty();
    if python_needed && !python::can_make_environments() {
        packages.push(python::PACKAGE);
    }
    debian::install(packages)?;
    python::install(requirements)?;
    environments.into_iter().try_for_each(Pinned::install)
}

/// The file of this name; for a folder `*` in it, the highest number that fits is taken.
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
