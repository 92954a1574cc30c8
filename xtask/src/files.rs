//! Files and folders, with errors that name them.

use std::fs;
use std::path::Path;

use stack::{Error, Result};

/// The text of a file.
pub(crate) fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file)
        .map_err(|error| Error::new(format!("read {}: {error}", file.display())))
}

/// Removes a folder that an earlier run may have left.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder)
        .map_err(|error| Error::new(format!("remove {}: {error}", folder.display())))
}
