//! libfaketime, which shows a program another time of day.

use std::path::Path;

use crate::error::Result;
use crate::install::{Dependency, install};

const DEPENDENCY: Dependency =
    Dependency::Debian { package: "libfaketime", file: "/usr/share/doc/libfaketime/copyright" };

/// The variables of `env` that make a program see the time of day moved by the text of `file`, such as `+1d`. Its monotonic clock stays as it is. Installs the library if it is missing.
pub fn variables(file: &Path) -> Result<[String; 4]> {
    install(std::iter::once(DEPENDENCY))?;
    let folder = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    Ok([
        format!("LD_PRELOAD={folder}/libfaketimeMT.so.1"),
        format!("FAKETIME_TIMESTAMP_FILE={}", file.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ])
}
