//! `health-gateway permissions`: prints the least privileges that each backend must grant.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use probe::{DynCheck, Grant, Principal};

use crate::config::{ConfigError, Configuration, load_without_secrets};

/// The name of a configuration's references among the names of its checks.
const REFERENCES: &str = "references";

/// The name of the store of shared results among them.
const SHARE: &str = "share";

/// The grants that one or more configurations need.
#[derive(Debug, Default)]
pub struct Permissions {
    grants: BTreeSet<Grant>,
    /// The names of the checks that need the grants of each principal.
    needed_by: BTreeMap<Principal, BTreeSet<String>>,
    /// Why the grants of a check are unknown, with its file and name.
    unknown: Vec<String>,
}

/// Returns the grants that the configurations in `paths` need, or everything that is wrong with any of them.
///
/// No backend is contacted and no secret is needed: a reference is the placeholder of its missing value.
pub fn permissions(paths: &[PathBuf]) -> Result<Permissions, Vec<ConfigError>> {
    let all = load_without_secrets(paths)?;
    let mut permissions = Permissions::default();
    for (file, configuration) in &all {
        let prefix = match all.len() {
            1 => String::new(),
            _ => format!("{}/", configuration.namespace),
        };
        permissions.add(file, &prefix, configuration);
    }
    Ok(permissions)
}

impl Permissions {
    /// Every grant.
    pub fn grants(&self) -> &BTreeSet<Grant> {
        &self.grants
    }

    /// Why the grants of some checks are unknown, one line for each.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    fn add(&mut self, file: &Path, prefix: &str, configuration: &Configuration) {
        for component in &configuration.components {
            let name = format!("{prefix}{}", component.name);
            for (name, configured) in component.checks.iter_named(&name) {
                self.add_check(file, &name, &*configured.check);
            }
        }
        if let Some(store) = &configuration.share {
            self.add_grants(&format!("{prefix}{SHARE}"), store.grants());
        }
        if let Some(session) = &configuration.session {
            let grants = session.grants(&configuration.vault_paths);
            self.add_grants(&format!("{prefix}{REFERENCES}"), grants);
        }
    }

    fn add_check(&mut self, file: &Path, name: &str, check: &dyn DynCheck) {
        match check.grants() {
            Ok(grants) => self.add_grants(name, grants),
            Err(failure) => {
                let reason = failure.cause().text();
                self.unknown.push(format!("{}: {name}: {reason}", file.display()));
            }
        }
    }

    fn add_grants(&mut self, name: &str, grants: Vec<Grant>) {
        for grant in grants {
            let names = self.needed_by.entry(grant.principal.clone()).or_default();
            names.insert(name.to_owned());
            self.grants.insert(grant);
        }
    }
}

/// One block for each principal: a comment with its name, a comment with the checks that need it, and the statements.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.grants.is_empty() {
            return writeln!(f, "# nothing needs to be granted");
        }
        let mut separator = "";
        for (principal, statements) in probe::statements(self.grants.iter().cloned()) {
            let names = self.needed_by.get(&principal).into_iter().flatten();
            let names: Vec<_> = names.map(String::as_str).collect();
            write!(f, "{separator}# {principal}\n# needed by {}\n{statements}", names.join(", "))?;
            separator = "\n";
        }
        Ok(())
    }
}
