//! Reads files without contacting anything: to check them as the gateway would read them, or for what can be told from them alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use probe::SharedResources;

use super::{ConfigError, Configuration, LoadContext, SecretCache, files, read_bounded};

/// The namespace of each file, or everything that is wrong with any of them.
///
/// What comes from Vault is not known here, so its form is not judged; environment variables and files are read.
pub fn check(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Vec<ConfigError>> {
    let env = |name: &str| std::env::var(name).ok();
    let read = |file: &Path, text: &str| {
        let context = LoadContext {
            env: &env,
            vault: &SecretCache::new(),
            shared: &SharedResources::default(),
        };
        Configuration::read(file, text, context)
    };
    let all = read_all(paths, read)?.into_iter();
    Ok(all.map(|(file, configuration)| (file, configuration.namespace)).collect())
}

/// What `read` makes of the text of each file, in the order of their namespaces' names, or everything that is wrong with any of them.
pub fn read_all(
    paths: &[PathBuf],
    read: impl Fn(&Path, &str) -> Result<Configuration, ConfigError>,
) -> Result<Vec<(PathBuf, Configuration)>, Vec<ConfigError>> {
    let mut wrong = Vec::new();
    let mut good = BTreeMap::<String, (PathBuf, Configuration)>::new();
    for path in paths {
        match files(path) {
            Err(diagnostics) => wrong.push(diagnostics),
            Ok(files) => {
                for file in files {
                    match read_file(&file, &read) {
                        Err(diagnostics) => wrong.push(diagnostics),
                        Ok(configuration) => {
                            let namespace = configuration.namespace.clone();
                            match good.get(&namespace) {
                                Some((other, _)) => {
                                    wrong.push(ConfigError::duplicate_namespace(
                                        &file, &namespace, other,
                                    ));
                                }
                                None => drop(good.insert(namespace, (file, configuration))),
                            }
                        }
                    }
                }
            }
        }
    }
    if wrong.is_empty() { Ok(good.into_values().collect()) } else { Err(wrong) }
}

fn read_file(
    file: &Path,
    read: impl Fn(&Path, &str) -> Result<Configuration, ConfigError>,
) -> Result<Configuration, ConfigError> {
    let text = read_bounded(file)
        .map_err(|error| ConfigError::of_file(file, format!("cannot read the file: {error}")))?;
    read(file, &text)
}
