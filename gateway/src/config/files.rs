//! Finds, reads and checks configuration files: a file or a folder of files becomes namespaces.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use probe::{Cause, SharedResources};
use zeroize::Zeroizing;

use crate::blocking::READ_TIMEOUT;
use crate::file_events::FileEvents;
use crate::registry::Registry;

use super::{ConfigError, Configuration, Document, LoadContext, SecretCache};

/// The result for a file without errors.
#[derive(Debug)]
pub struct Checked {
    /// Its namespace.
    pub namespace: String,
    /// What could be improved.
    pub notes: ConfigError,
}

/// Returns the namespace of each file, or everything that is wrong with any of them, without contacting a backend.
///
/// Environment variables and files are read. Secrets in Vault are not, so their form is not checked.
pub fn check(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Checked)>, Vec<ConfigError>> {
    let registry = Registry::default();
    let env = |name: &str| std::env::var(name).ok();
    let load = |file: &Path| {
        let context = LoadContext {
            env: &env,
            vault: &SecretCache::new(),
            shared: &SharedResources::default(),
        };
        let configuration = Document::open(file)?.build(context)?;
        registry.claim(file, &configuration)?;
        let notes = ConfigError { file: file.to_owned(), diagnostics: configuration.notes };
        Ok((configuration.namespace.clone(), Checked { namespace: configuration.namespace, notes }))
    };
    load_all(paths, load)
}

/// Returns the configuration of each file with the reference itself in place of each value that is missing.
pub(crate) fn load_without_secrets(
    paths: &[PathBuf],
) -> Result<Vec<(PathBuf, Configuration)>, Vec<ConfigError>> {
    let registry = Registry::default();
    let load = |file: &Path| {
        let configuration = Document::open(file)?.build_without_secrets()?;
        registry.claim(file, &configuration)?;
        Ok((configuration.namespace.clone(), configuration))
    };
    load_all(paths, load)
}

/// Loads each file, and returns the results in the order of the namespaces' names, or everything that is wrong with any file.
///
/// `load` also returns the name of the namespace that the file defines.
pub(crate) fn load_all<T>(
    paths: &[PathBuf],
    load: impl Fn(&Path) -> Result<(String, T), ConfigError>,
) -> Result<Vec<(PathBuf, T)>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut loaded = BTreeMap::<String, (PathBuf, T)>::new();
    for path in paths {
        let files = list_files(path).and_then(|files| match files.as_slice() {
            [] => Err(ConfigError::of_file(
                path,
                "there is no `*.toml` file in this folder".to_owned(),
            )),
            _ => Ok(files),
        });
        for file in files.unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        }) {
            match load(&file) {
                Ok((name, value)) => drop(loaded.insert(name, (file, value))),
                Err(error) => errors.push(error),
            }
        }
    }
    if errors.is_empty() { Ok(loaded.into_values().collect()) } else { Err(errors) }
}

/// Returns `path` itself, or every `*.toml` in it if it is a folder. Blocks for at most [`READ_TIMEOUT`].
pub(crate) fn list_files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = path.to_owned();
    read_within(READ_TIMEOUT, path, move || {
        if folder.is_dir() { list_folder(&folder) } else { Ok(vec![folder]) }
    })
    .map_err(|error| ConfigError::of_file(path, format!("cannot list the folder: {error}")))
}

/// Returns every `*.toml` in a followed folder, or none if the folder is gone, and whether every later change of them is reported. Blocks for at most [`READ_TIMEOUT`].
pub(crate) fn list_followed(
    path: &Path,
    events: FileEvents,
) -> Result<(Vec<PathBuf>, bool), String> {
    let folder = path.to_owned();
    read_within(READ_TIMEOUT, path, move || {
        // Watched first, so that no change after the listing is missed.
        let is_watched = events.watch(&folder);
        let files = match folder.try_exists() {
            Ok(false) => Vec::new(),
            _ => list_folder(&folder)?,
        };
        Ok((files, is_watched))
    })
}

/// Dangling links and pipes are listed as well, so that opening them returns an error. Hidden files are skipped, because editors create them.
fn list_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cause = |error: io::Error| Cause::from(error).text().to_owned();
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(cause)? {
        let file = entry.map_err(cause)?.path();
        let is_hidden =
            file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if file.extension().is_some_and(|it| it == "toml") && !is_hidden && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Runs `work`, which reads `path`, on a dedicated thread: see [`probe::read_within`].
pub(super) fn read_within<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    probe::read_within(limit, path, work).map_err(|cause| cause.text().to_owned()).flatten()
}

/// Returns the text of a regular file, or why there is none: see [`probe::read_bounded`].
pub(crate) fn read_bounded(path: &Path) -> Result<Zeroizing<String>, String> {
    probe::read_bounded(path).map(Zeroizing::new).map_err(|cause| cause.text().to_owned())
}
