//! Python packages that only work in exact versions, in an environment apart: their pins leave no room for others.

use std::fs;
use std::path::PathBuf;

use crate::error::{Context, Result};
use crate::{place, python};

/// An environment, by the text of its requirements file.
#[derive(Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The name of its folder under `.stack`.
    pub folder: &'static str,
    /// One line for each package, with its version.
    pub requirements: &'static str,
}

impl Pinned {
    /// The folder of the environment.
    pub(crate) fn folder(&self) -> PathBuf {
        place::state().join(self.folder)
    }

    /// The file of a program that one of the packages brought.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder().join("bin").join(name)
    }

    /// Whether exactly these requirements are installed, and in this place.
    pub(crate) fn is_installed(&self) -> bool {
        fs::read_to_string(self.mark()).is_ok_and(|text| text == self.mark_text())
    }

    /// Makes the environment anew.
    pub(crate) fn install(&self) -> Result<()> {
        eprintln!("installing Python packages in .stack/{}", self.folder);
        let folder = self.folder();
        let mut venv = python::uv()?;
        venv.args(["venv", "--quiet", "--clear", "--python", python::PYTHON]).arg(&folder);
        python::run(&mut venv, "uv")?;
        let file = folder.join("requirements.txt");
        fs::write(&file, self.requirements).context(|| format!("write {}", file.display()))?;
        let mut install = python::uv()?;
        install.args(["pip", "install", "--quiet", "--python"]).arg(self.program("python"));
        python::run(install.arg("--requirements").arg(&file), "uv")?;
        let mark = self.mark();
        fs::write(&mark, self.mark_text()).context(|| format!("write {}", mark.display()))
    }

    fn mark(&self) -> PathBuf {
        self.folder().join("installed")
    }

    /// In a moved environment no program finds its Python, so the place counts as well.
    fn mark_text(&self) -> String {
        format!("{}\n{}", self.folder().display(), self.requirements)
    }
}
