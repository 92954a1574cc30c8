//! Finds, reads and checks configuration files: a file or a folder of files becomes namespaces.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use probe::{Cause, SharedResources};
use rustix::fs::OFlags;

use super::{ConfigError, Configuration, Document, LoadContext, SecretCache};

/// The size limit of a configuration file, and of a file that a reference names.
const MAX_FILE: u64 = 1024 * 1024;

/// Returns the namespace of each file, or everything that is wrong with any of them, without contacting a backend.
///
/// Environment variables and files are read; secrets from Vault are unknown, so their form is not checked.
pub fn check(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Vec<ConfigError>> {
    let env = |name: &str| std::env::var(name).ok();
    let load = |file: &Path| {
        let context = LoadContext {
            env: &env,
            vault: &SecretCache::new(),
            shared: &SharedResources::default(),
        };
        Document::open(file)?.build(context)
    };
    let loaded = load_all(paths, load, |configuration| configuration.namespace.clone())?;
    Ok(loaded.into_iter().map(|(file, configuration)| (file, configuration.namespace)).collect())
}

/// Returns the configuration of each file with the reference itself in place of each value that is missing.
pub(crate) fn load_without_secrets(
    paths: &[PathBuf],
) -> Result<Vec<(PathBuf, Configuration)>, Vec<ConfigError>> {
    let load = |file: &Path| Document::open(file)?.build_without_secrets();
    load_all(paths, load, |configuration| configuration.namespace.clone())
}

/// Loads each file, in the order of the namespaces' names, or returns everything that is wrong with any of them.
///
/// `namespace` returns the name of the namespace that a loaded file defines.
pub(crate) fn load_all<T>(
    paths: &[PathBuf],
    load: impl Fn(&Path) -> Result<T, ConfigError>,
    namespace: impl Fn(&T) -> String,
) -> Result<Vec<(PathBuf, T)>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut loaded = BTreeMap::<String, (PathBuf, T)>::new();
    for path in paths {
        let files = list_files(path).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        for file in files {
            let unique = load(&file).and_then(|value| {
                let name = namespace(&value);
                let others = loaded.iter().map(|(name, (file, _))| (name.as_str(), file.as_path()));
                check_unique(&file, &name, others)?;
                Ok((name, value))
            });
            match unique {
                Ok((name, value)) => drop(loaded.insert(name, (file, value))),
                Err(error) => errors.push(error),
            }
        }
    }
    if errors.is_empty() { Ok(loaded.into_values().collect()) } else { Err(errors) }
}

/// Returns an error if one of the `others` has the same namespace.
pub(crate) fn check_unique<'a>(
    file: &Path,
    namespace: &str,
    mut others: impl Iterator<Item = (&'a str, &'a Path)>,
) -> Result<(), ConfigError> {
    match others.find(|(name, _)| *name == namespace) {
        Some((_, other)) => Err(ConfigError::duplicate_namespace(file, namespace, other)),
        None => Ok(()),
    }
}

/// Returns `path` itself, or every `*.toml` in it if it is a folder.
pub(crate) fn list_files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let cannot_list = |error: io::Error| {
        let cause = Cause::from(error);
        ConfigError::of_file(path, format!("cannot list the folder: {}", cause.text()))
    };
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(cannot_list)? {
        let file = entry.map_err(cannot_list)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        let message = "there is no `*.toml` file in this folder".to_owned();
        return Err(ConfigError::of_file(path, message));
    }
    Ok(files)
}

/// Returns the text of a regular file, or an error if it is larger than 1 MiB.
///
/// It may block for as long as the mount does not answer.
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
