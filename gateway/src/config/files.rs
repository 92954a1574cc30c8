//! Finds, reads and checks configuration files: a file or a folder of files becomes namespaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use probe::{Cause, SharedResources};
use rustix::fs::OFlags;

use crate::blocking::{READ_TIMEOUT, read_within};
use crate::registry::Registry;

use super::{ConfigError, Configuration, Document, LoadContext, SecretCache};

/// The size limit of a configuration file, and of a file that a reference names.
const MAX_FILE: u64 = 1024 * 1024;

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

/// Loads each file, in the order of the namespaces' names, or returns everything that is wrong with any of them.
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
    .flatten()
    .map_err(|error| ConfigError::of_file(path, format!("cannot list the folder: {error}")))
}

/// Returns every `*.toml` in a followed folder, or none if the folder is gone. Blocks for at most [`READ_TIMEOUT`].
pub(crate) fn list_followed(path: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = path.to_owned();
    read_within(READ_TIMEOUT, path, move || match folder.try_exists() {
        Ok(false) => Ok(Vec::new()),
        _ => list_folder(&folder),
    })
    .flatten()
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

/// Returns the text of a regular file, or an error if it is larger than 1 MiB.
///
/// Blocks for as long as the file system does not respond.
pub(crate) fn read_bounded(path: &Path) -> Result<String, String> {
    let cause = |error: io::Error| Cause::from(error).text().to_owned();
    let mut text = String::new();
    // Otherwise opening a pipe would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(cause)?;
    if !file.metadata().map_err(cause)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(cause)?;
    if text.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    Ok(text)
}
