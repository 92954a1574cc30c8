//! Ensures that no two files have the same namespace or access token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::config::{ConfigError, Configuration};
use crate::tokens::{Digest, Tokens};

/// The namespace and the access tokens of each file.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<BTreeMap<PathBuf, Claim>>);

/// The namespace and the access tokens of one file.
#[derive(Debug, Default)]
struct Claim {
    namespace: String,
    tokens: Tokens,
}

impl Registry {
    /// Records the namespace and the token of `file`, unless another file has one of them.
    pub(crate) fn claim(
        &self,
        file: &Path,
        configuration: &Configuration,
    ) -> Result<(), ConfigError> {
        let (name, access) = (&configuration.namespace, &configuration.access);
        let token = access.token.as_ref().map(|token| Digest::of(token.expose().as_bytes()));
        let mut claims = self.0.lock();
        // Paths are compared last, since that takes longest.
        for (other, claim) in claims.iter() {
            if claim.namespace == *name && other != file {
                return Err(ConfigError::duplicate_namespace(file, name, other));
            }
            if token.as_ref().is_some_and(|token| claim.tokens.verify(token).into())
                && other != file
            {
                return Err(ConfigError::duplicate_token(file, &claim.namespace, other));
            }
        }
        let claim = claims.entry(file.to_owned()).or_default();
        claim.namespace.clone_from(name);
        if let Some(token) = &access.token {
            claim.tokens.replace(token, access.grace);
        }
        Ok(())
    }

    /// Removes the claim of `file`.
    pub(crate) fn release(&self, file: &Path) {
        self.0.lock().remove(file);
    }

    /// Records that the file `from` was renamed to `to`.
    pub(crate) fn rename(&self, from: &Path, to: &Path) {
        let mut claims = self.0.lock();
        if let Some(claim) = claims.remove(from) {
            claims.insert(to.to_owned(), claim);
        }
    }

    /// The file that has this namespace.
    pub(crate) fn file_of(&self, namespace: &str) -> Option<PathBuf> {
        let claims = self.0.lock();
        let found = claims.iter().find(|(_, claim)| claim.namespace == namespace);
        found.map(|(file, _)| file.clone())
    }
}
