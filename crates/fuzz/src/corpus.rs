//! The kept inputs of each target: `corpus/TARGET/*`.

use std::io;
use std::path::{Path, PathBuf};

/// The folder of a target's inputs.
pub(crate) fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// All inputs of a target, in the order of their names.
pub(crate) fn read(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut files = folder(target)
        .read_dir()?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    files.iter().map(std::fs::read).collect()
}
