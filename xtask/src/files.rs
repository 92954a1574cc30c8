//! Reads and writes files and removes folders, with errors that contain the path.

use std::fs;
use std::path::Path;

use stack::{Error, Result};

/// Reads a text file.
pub(crate) fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file)
        .map_err(|error| Error::new(format!("read {}: {error}", file.display())))
}

/// Writes a text file.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| Error::new(format!("write {}: {error}", file.display())))
}

/// Removes a folder if it exists.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder)
        .map_err(|error| Error::new(format!("remove {}: {error}", folder.display())))
}
