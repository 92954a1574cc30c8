//! The paths of the stack's files, which are below `.stack` in the workspace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::error::{Context, Result};

/// Returns the folder of the workspace.
pub fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own)
}

/// Returns the folder of everything that the stack writes.
pub fn state() -> PathBuf {
    workspace().join(".stack")
}

/// Returns the path without symbolic links, so that a folder which several checkouts share has one name.
pub(crate) fn resolved(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

/// Creates a folder with its parents, and returns it.
pub(crate) fn create(folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&folder).context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// Returns the parent of the data folders of the shared servers.
///
/// If this process is root, PostgreSQL runs as another user, which cannot reach a workspace below `/root`; then it is a folder below `/var/lib`.
pub(crate) fn data() -> Result<PathBuf> {
    let state = create(state())?;
    if !geteuid().is_root() || accessible_to_others(&state) {
        return create(state.join("data"));
    }
    let name = workspace().to_string_lossy().trim_matches('/').replace('/', "-");
    create(Path::new("/var/lib/health-gateway-stack").join(name))
}

/// Creates an empty folder, removing an existing one.
pub(crate) fn recreate(home: &Path) -> Result<()> {
    if home.exists() {
        fs::remove_dir_all(home).context(|| format!("remove {}", home.display()))?;
    }
    create(home.to_owned()).map(drop)
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    // The mode is set before the content is written.
    fs::write(path, "")
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .and_then(|()| fs::write(path, text))
        .context(|| format!("write {}", path.display()))
}

fn accessible_to_others(folder: &Path) -> bool {
    folder.ancestors().all(|folder| {
        folder.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    })
}
