//! Checks files as the gateway would read them, without contacting anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use probe::Shared;

use super::{Configuration, Mistakes, Surroundings, Vaulted, files, read_bounded};

/// The namespace of each file, or everything that is wrong with any of them.
///
/// What comes from Vault is not known here, so its form is not judged; environment variables and files are read.
pub fn check(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Vec<Mistakes>> {
    let (mut wrong, mut good) = (Vec::new(), BTreeMap::<String, PathBuf>::new());
    for path in paths {
        match files(path) {
            Err(mistakes) => wrong.push(mistakes),
            Ok(files) => {
                for file in files {
                    match check_file(&file) {
                        Err(mistakes) => wrong.push(mistakes),
                        Ok(namespace) => match good.get(&namespace) {
                            Some(other) => wrong.push(Mistakes::of_twin(&file, &namespace, other)),
                            None => drop(good.insert(namespace, file)),
                        },
                    }
                }
            }
        }
    }
    if wrong.is_empty() {
        Ok(good.into_iter().map(|(namespace, file)| (file, namespace)).collect())
    } else {
        Err(wrong)
    }
}

fn check_file(file: &Path) -> Result<String, Mistakes> {
    let text = read_bounded(file)
        .map_err(|error| Mistakes::of_file(file, format!("cannot read the file: {error}")))?;
    let env = |name: &str| std::env::var(name).ok();
    let around = Surroundings { env: &env, vault: &Vaulted::new(), shared: &Shared::default() };
    Ok(Configuration::read(file, &text, around)?.namespace)
}
