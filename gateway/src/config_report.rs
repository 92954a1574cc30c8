//! The output of `health-gateway check-config`: everything that is wrong with files, in several formats.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use probe::config::Diagnostic;
use serde_json::json;

use crate::config::{self, ConfigError};

/// A format of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// A line for each error, on standard error, and for each valid file.
    Text,
    /// An object with all namespaces and diagnostics.
    Json,
    /// Workflow commands of GitHub Actions, which annotate the lines of the files.
    Github,
}

/// What is wrong with some files, or the namespaces that they define.
#[derive(Debug)]
pub struct ConfigReport {
    /// The files and the names of their namespaces, if nothing is wrong with any file.
    namespaces: Vec<(PathBuf, String)>,
    errors: Vec<ConfigError>,
    notes: Vec<ConfigError>,
}

impl ConfigReport {
    /// Reads the files, or the files in these folders.
    pub fn new(paths: &[PathBuf]) -> Self {
        let mut report = Self { namespaces: Vec::new(), errors: Vec::new(), notes: Vec::new() };
        match config::check(paths) {
            Ok(checked) => {
                for (file, checked) in checked {
                    report.namespaces.push((file, checked.namespace));
                    report.notes.push(checked.notes);
                }
            }
            Err(errors) => report.errors = errors,
        }
        report
    }

    /// Whether nothing is wrong.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    /// The texts for standard output and for standard error.
    pub fn write(&self, format: ConfigFormat) -> (String, String) {
        match format {
            ConfigFormat::Text => self.text(),
            ConfigFormat::Json => (self.json(), String::new()),
            ConfigFormat::Github => (self.github(), String::new()),
        }
    }

    fn text(&self) -> (String, String) {
        let mut lines = Vec::new();
        for ((file, namespace), notes) in self.namespaces.iter().zip(&self.notes) {
            let file = file.display();
            lines.extend(notes.diagnostics.iter().map(|note| format!("note: {file}:{note}\n")));
            lines.push(format!("{file}: namespace `{namespace}`, nothing wrong\n"));
        }
        let errors: Vec<_> = self.errors.iter().map(|error| format!("{error}\n")).collect();
        (lines.concat(), errors.concat())
    }

    fn json(&self) -> String {
        let diagnostics = self.diagnostics().map(|(level, file, diagnostic)| {
            let Diagnostic { line, key, message } = diagnostic;
            let file = file.display().to_string();
            json!({"level": level, "file": file, "line": line, "key": key, "message": message})
        });
        let diagnostics: Vec<_> = diagnostics.collect();
        let namespaces = self
            .namespaces
            .iter()
            .map(|(file, name)| json!({"file": file.display().to_string(), "name": name}));
        let namespaces: Vec<_> = namespaces.collect();
        format!("{:#}\n", json!({"diagnostics": diagnostics, "namespaces": namespaces}))
    }

    fn github(&self) -> String {
        let command = |(level, file, diagnostic): (_, &Path, &Diagnostic)| {
            let Diagnostic { line, key, message } = diagnostic;
            let level = if level == "note" { "notice" } else { level };
            let file = github_property(&file.display().to_string());
            let message =
                if key.is_empty() { message.clone() } else { format!("{key}: {message}") };
            format!("::{level} file={file},line={line}::{}\n", github_data(&message))
        };
        self.diagnostics().map(command).collect()
    }

    /// Each diagnostic with its level and its file.
    fn diagnostics(&self) -> impl Iterator<Item = (&'static str, &Path, &Diagnostic)> {
        let errors = self.errors.iter().map(|file| ("error", file));
        let notes = self.notes.iter().map(|file| ("note", file));
        errors.chain(notes).flat_map(|(level, ConfigError { file, diagnostics })| {
            diagnostics.iter().map(move |diagnostic| (level, file.as_path(), diagnostic))
        })
    }
}

/// Escapes the data of a workflow command.
fn github_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn github_property(text: &str) -> String {
    github_data(text).replace(':', "%3A").replace(',', "%2C")
}
