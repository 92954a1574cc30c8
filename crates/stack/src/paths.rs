//! Where the stack keeps its files: everything under `.stack` in the workspace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::error::{Context, Result};

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own)
}

/// The folder of everything that the stack writes.
pub fn state() -> PathBuf {
    workspace().join(".stack")
}

/// Makes a folder with its parents, and gives it back.
pub(crate) fn make(folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&folder).context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// The folder in which each server of the shared stack has its own.
///
/// PostgreSQL runs as another user when we are root, and that user may not pass through `/root`: then the servers live elsewhere.
pub(crate) fn data() -> Result<PathBuf> {
    let state = make(state())?;
    if !geteuid().is_root() || open_to_others(&state) {
        return make(state.join("data"));
    }
    let name = workspace().to_string_lossy().trim_matches('/').replace('/', "-");
    make(Path::new("/var/lib/health-gateway-stack").join(name))
}

/// Removes what a server left in its folder, and makes it anew.
pub(crate) fn fresh(home: &Path) -> Result<()> {
    if home.exists() {
        fs::remove_dir_all(home).context(|| format!("remove {}", home.display()))?;
    }
    make(home.to_owned()).map(drop)
}

/// Writes a file that only we may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    // Its mode is right before its content is there.
    fs::write(path, "")
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .and_then(|()| fs::write(path, text))
        .context(|| format!("write {}", path.display()))
}

fn open_to_others(folder: &Path) -> bool {
    folder.ancestors().all(|folder| {
        folder.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    })
}
