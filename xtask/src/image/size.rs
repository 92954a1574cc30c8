//! What an image weighs, and what is in it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stack::{Error, Result};

use super::ask;
use crate::{cargo, files};

/// An image as a registry would hold it.
pub(super) struct Image {
    /// The layers and the configuration, in bytes, as they are downloaded.
    pub(super) compressed: u64,
    /// All files, in bytes, as they are on a node.
    pub(super) unpacked: u64,
    /// The paths of all files and folders, sorted.
    pub(super) content: Vec<String>,
}

/// Pushes the image into a folder, which is made anew, and looks at what has arrived.
pub(super) fn measure(image: &str, folder: &Path) -> Result<Image> {
    files::remove(folder)?;
    let to = format!("dir:{}", folder.display());
    ask(&["push", "--quiet", "--compress", image, &to])?;
    let manifest = folder.join("manifest.json");
    let manifest: Value = serde_json::from_str(&files::read(&manifest)?)
        .map_err(|error| Error::new(format!("read {}: {error}", manifest.display())))?;
    let layers: Vec<_> = manifest["layers"].as_array().into_iter().flatten().collect();
    let blobs = layers.iter().copied().chain([&manifest["config"]]);
    let sizes: Option<Vec<_>> = blobs.map(|blob| blob["size"].as_u64()).collect();
    let sizes = sizes.ok_or_else(|| Error::new("the image's manifest tells no sizes"))?;
    let mut content = Vec::new();
    for layer in layers {
        let digest = layer["digest"].as_str().unwrap_or_default().trim_start_matches("sha256:");
        let mut tar = Command::new("tar");
        let list =
            cargo::output(tar.args(["--list", "--gzip", "--file"]).arg(folder.join(digest)))?;
        content.extend(list.lines().map(str::to_owned));
    }
    content.sort();
    let unpacked = ask(&["image", "inspect", "--format", "{{.Size}}", image])?;
    let unpacked = unpacked
        .trim()
        .parse()
        .map_err(|_| Error::new(format!("podman says that the image's size is {unpacked}")))?;
    Ok(Image { compressed: sizes.iter().sum(), unpacked, content })
}
