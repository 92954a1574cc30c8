//! Measures the size and lists the content of an image.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stack::{Error, Result};

use super::podman_output;
use crate::{cargo, files};

/// The sizes and the content of an image.
pub(super) struct Image {
    /// The compressed size of layers and configuration, in bytes.
    pub(super) compressed: u64,
    /// The size of all files, in bytes.
    pub(super) unpacked: u64,
    /// The paths of all files and folders, sorted.
    pub(super) content: Vec<String>,
}

/// Pushes the image to a new folder, and measures it there.
pub(super) fn measure(image: &str, folder: &Path) -> Result<Image> {
    files::remove(folder)?;
    let to = format!("dir:{}", folder.display());
    podman_output(&["push", "--quiet", "--compress", image, &to])?;
    let manifest = folder.join("manifest.json");
    let manifest: Value = serde_json::from_str(&files::read(&manifest)?)
        .map_err(|error| Error::new(format!("read {}: {error}", manifest.display())))?;
    let layers: Vec<_> = manifest["layers"].as_array().into_iter().flatten().collect();
    let blobs = layers.iter().copied().chain([&manifest["config"]]);
    let sizes: Option<Vec<_>> = blobs.map(|blob| blob["size"].as_u64()).collect();
    let sizes = sizes.ok_or_else(|| Error::new("the image's manifest has no sizes"))?;
    let mut content = Vec::new();
    for layer in layers {
        let digest = layer["digest"].as_str().unwrap_or_default().trim_start_matches("sha256:");
        let mut tar = Command::new("tar");
        let list =
            cargo::output(tar.args(["--list", "--gzip", "--file"]).arg(folder.join(digest)))?;
        content.extend(list.lines().map(str::to_owned));
    }
    content.sort();
    let unpacked = podman_output(&["image", "inspect", "--format", "{{.Size}}", image])?;
    let unpacked = unpacked
        .trim()
        .parse()
        .map_err(|_| Error::new(format!("read the image's size: {unpacked}")))?;
    Ok(Image { compressed: sizes.iter().sum(), unpacked, content })
}
