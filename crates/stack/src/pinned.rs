//! Virtual environments of pinned Python packages that conflict with the versions of others.

use std::fs;
use std::path::PathBuf;

use crate::error::{Context, Error, Result};
use crate::{paths, python};

/// A virtual environment that is defined by its requirements file.
#[derive(Debug, PartialEq, Eq)]
pub struct PinnedVenv {
    /// Its folder below `.stack`.
    pub folder: &'static str,
    /// The content of its requirements file, one `name==version` on each line, with all dependencies: nothing else is installed.
    pub requirements: &'static str,
}

impl PinnedVenv {
    /// Returns the folder of the environment.
    pub(crate) fn folder(&self) -> PathBuf {
        paths::resolved(paths::state().join(self.folder))
    }

    /// Returns the path of a program that one of the packages provides.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder().join("bin").join(name)
    }

    /// Returns the path of a file of one of the packages, such as `package/file`.
    pub(crate) fn package_file(&self, file: &str) -> Result<PathBuf> {
        let libraries = self.folder().join("lib");
        let versions =
            fs::read_dir(&libraries).context(|| format!("list {}", libraries.display()))?;
        let path = |version: fs::DirEntry| version.path().join("site-packages").join(file);
        let path = versions.flatten().map(path).find(|path| path.exists());
        path.ok_or_else(|| Error::new(format!("{} has no `{file}`", libraries.display())))
    }

    /// Whether exactly these requirements are installed at this path.
    pub(crate) fn is_installed(&self) -> bool {
        fs::read_to_string(self.marker()).is_ok_and(|text| text == self.marker_text())
    }

    /// Creates the environment, replacing an existing one.
    pub(crate) fn install(&self) -> Result<()> {
        eprintln!("installing Python packages in .stack/{}", self.folder);
        let folder = self.folder();
        let mut venv = python::uv()?;
        venv.args(["venv", "--quiet", "--clear", "--python", python::PYTHON]).arg(&folder);
        python::run(&mut venv, "uv")?;
        let file = folder.join("requirements.txt");
        fs::write(&file, self.requirements).context(|| format!("write {}", file.display()))?;
        let mut install = python::uv()?;
        install
            .args(["pip", "install", "--quiet", "--no-deps", "--python"])
            .arg(self.program("python"));
        python::run(install.arg("--requirements").arg(&file), "uv")?;
        let marker = self.marker();
        fs::write(&marker, self.marker_text()).context(|| format!("write {}", marker.display()))
    }

    fn marker(&self) -> PathBuf {
        self.folder().join("installed")
    }

    /// The path is included, because the programs of a moved environment do not find their Python.
    fn marker_text(&self) -> String {
        format!("{}\n{}", self.folder().display(), self.requirements)
    }
}
