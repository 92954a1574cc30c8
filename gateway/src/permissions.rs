//! What each backend must grant to the gateway and nothing more, as its administrator would type it: `health-gateway permissions`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use probe::{DynCheck, Grant, Principal};

use crate::config::{ConfigError, Configuration, read_all};

/// What makes the gateway read secrets from Vault.
const REFERENCES: &str = "references";

/// What several configurations need, together.
#[derive(Debug, Default)]
pub struct Permissions {
    grants: BTreeSet<Grant>,
    /// Whom each holder's grants are for, by the names of the checks.
    needed_by: BTreeMap<Principal, BTreeSet<String>>,
    /// Why something is not known, each with the file and the check.
    unknown: Vec<String>,
}

/// What the configurations in `paths` need; the error is everything that is wrong with any of them.
///
/// Nothing is contacted and no secret is needed: a reference stands in for the value that it has not got.
pub fn permissions(paths: &[PathBuf]) -> Result<Permissions, Vec<ConfigError>> {
    let all = read_all(paths, Configuration::read_without_secrets)?;
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
    /// Every permission.
    pub fn grants(&self) -> &BTreeSet<Grant> {
        &self.grants
    }

    /// What could not be told, each in one line.
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
        if let Some(session) = &configuration.session {
            let grants = session.grants(&configuration.vault_paths);
            self.need(&format!("{prefix}{REFERENCES}"), grants);
        }
    }

    fn add_check(&mut self, file: &Path, name: &str, check: &dyn DynCheck) {
        match check.grants() {
            Ok(grants) => self.need(name, grants),
            Err(failure) => {
                let why = failure.cause().text();
                self.unknown.push(format!("{}: {name}: {why}", file.display()));
            }
        }
    }

    fn need(&mut self, name: &str, grants: Vec<Grant>) {
        for grant in grants {
            let names = self.needed_by.entry(grant.principal.clone()).or_default();
            names.insert(name.to_owned());
            self.grants.insert(grant);
        }
    }
}

/// One block for each holder: who it is and which checks need it in two comments, then the statements.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.grants.is_empty() {
            return writeln!(f, "# nothing needs to be granted");
        }
        let mut gap = "";
        for (principal, statements) in probe::statements(self.grants.iter().cloned()) {
            let names = self.needed_by.get(&principal).into_iter().flatten();
            let names: Vec<_> = names.map(String::as_str).collect();
            write!(f, "{gap}# {principal}\n# needed by {}\n{statements}", names.join(", "))?;
            gap = "\n";
        }
        Ok(())
    }
}
