//! A configuration file, parsed once, with the content of every file that it refers to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use probe::SharedResources;
use probe::config::{Diagnostic, Diagnostics, Fields, Node, Value};
use vault_client::Session;
use zeroize::Zeroizing;

use crate::blocking::READ_TIMEOUT;

use super::references::{self, Placeholders, References, Sources};
use super::{ConfigError, Configuration, LoadContext, SecretCache, VAULT, files, share};

/// A parsed file, before its references are resolved.
///
/// It may contain secrets, so everything that it has read is wiped when it is dropped.
/// The configuration can be built repeatedly, as secrets become known or change, without reading a file again.
pub(crate) struct Document {
    path: PathBuf,
    text: Zeroizing<String>,
    root: Result<Node, Vec<Diagnostic>>,
    references: References,
}

impl Document {
    /// Reads and parses the file at `path`. Blocks for at most [`READ_TIMEOUT`].
    pub(crate) fn open(path: &Path) -> Result<Self, ConfigError> {
        let file = path.to_owned();
        let read = move || files::read_bounded(&file).map(|text| Self::parse(&file, text));
        files::read_within(READ_TIMEOUT, path, read)
            .map_err(|error| ConfigError::of_file(path, format!("cannot read the file: {error}")))
    }

    /// Parses the `text` of the file at `path`, and reads the files that it refers to. [`Self::build`] returns the errors.
    pub(crate) fn parse(path: &Path, text: Zeroizing<String>) -> Self {
        let root = Node::parse(&text);
        Self::new(path, text, root)
    }

    pub(super) fn new(
        path: &Path,
        text: Zeroizing<String>,
        mut root: Result<Node, Vec<Diagnostic>>,
    ) -> Self {
        let mut references = References::default();
        if let Ok(root) = &mut root {
            add_default_token(root);
            references.collect(root, path.parent().unwrap_or(Path::new("")));
        }
        Self { path: path.to_owned(), text, root, references }
    }

    /// The references to other files and to Vault.
    pub(crate) fn references(&self) -> &References {
        &self.references
    }

    /// Whether the file is at this `path` and has this `text`, and each file that it refers to still has the same content.
    ///
    /// A file that cannot be read at the moment counts as unchanged.
    pub(crate) fn is_current(&self, path: &Path, text: &str) -> bool {
        let is_same = |(path, content): (&PathBuf, &Result<Zeroizing<String>, String>)| {
            let current = files::read_bounded(path);
            current.is_err() || current == *content
        };
        path == self.path && text == self.text.as_str() && self.references.files.iter().all(is_same)
    }

    /// The session with which secrets are read. The section `[vault]` cannot itself refer to Vault.
    pub(crate) fn session(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
        shared: &SharedResources,
    ) -> Option<Arc<Session>> {
        let context = LoadContext { env, vault: &SecretCache::new(), shared };
        self.find_session(context, None)
    }

    /// Whether the file has the section of shared results, which may be wrong or need a secret.
    pub(crate) fn is_shared(&self) -> bool {
        self.section(share::SECTION).is_some()
    }

    /// Builds the configuration, or returns everything that is wrong with the file.
    pub(crate) fn build(&self, context: LoadContext<'_>) -> Result<Configuration, ConfigError> {
        let diagnostics = Diagnostics::default();
        self.build_with(context, None, &diagnostics)
            .ok_or_else(|| self.error(diagnostics.into_diagnostics()))
    }

    /// Builds the configuration with the reference itself in place of each value that is missing.
    ///
    /// Where a check does not accept the reference as a value, the value is unknown to it.
    pub(crate) fn build_without_secrets(&self) -> Result<Configuration, ConfigError> {
        let env = |name: &str| std::env::var(name).ok();
        let context = LoadContext {
            env: &env,
            vault: &SecretCache::new(),
            shared: &SharedResources::default(),
        };
        let mut placeholders = Placeholders::default();
        loop {
            let diagnostics = Diagnostics::default();
            let built = self.build_with(context, Some(&placeholders), &diagnostics);
            if let Some(configuration) = built {
                return Ok(configuration);
            }
            let diagnostics = diagnostics.into_diagnostics();
            if !placeholders.give_up(&diagnostics) {
                return Err(self.error(diagnostics));
            }
        }
    }

    /// Builds the configuration, or returns `None` if it adds to `diagnostics`.
    pub(super) fn build_with(
        &self,
        context: LoadContext<'_>,
        placeholders: Option<&Placeholders>,
        diagnostics: &Diagnostics,
    ) -> Option<Configuration> {
        let mut root = match &self.root {
            Ok(root) => root.clone(),
            Err(errors) => {
                for error in errors {
                    diagnostics.push(error.clone());
                }
                return None;
            }
        };
        references::replace(&mut root, "", self.sources(context, placeholders), diagnostics);
        let session = self.find_session(context, placeholders);
        let vault_paths = self.references.vault_paths.clone();
        let built = super::build(root, context.shared, session, vault_paths, diagnostics);
        self.check_vault_section(diagnostics);
        built.filter(|_| diagnostics.is_clean())
    }

    fn find_session(
        &self,
        context: LoadContext<'_>,
        placeholders: Option<&Placeholders>,
    ) -> Option<Arc<Session>> {
        let mut node = self.vault_section()?.clone();
        let context = LoadContext { vault: &SecretCache::new(), ..context };
        // The errors of this section are reported when its component is built.
        let ignored = Diagnostics::default();
        references::replace(&mut node, VAULT, self.sources(context, placeholders), &ignored);
        let mut fields = Fields::new(VAULT.to_owned(), &node, &ignored);
        let session = Session::read_settings(&mut fields, context.shared);
        drop(fields);
        node.wipe();
        session
    }

    fn check_vault_section(&self, diagnostics: &Diagnostics) {
        if let (None, Some(path)) = (self.vault_section(), self.references.vault_paths.first()) {
            let message = format!("`vault:{path}` needs a `[vault]` section, which is missing");
            diagnostics.push(Diagnostic { line: 1, key: String::new(), message });
        }
    }

    fn vault_section(&self) -> Option<&Node> {
        self.section(VAULT)
    }

    fn section(&self, name: &str) -> Option<&Node> {
        let node = self.root.as_ref().ok()?.get(name)?;
        matches!(node.value, Value::Table(_)).then_some(node)
    }

    fn sources<'a>(
        &'a self,
        context: LoadContext<'a>,
        placeholders: Option<&'a Placeholders>,
    ) -> Sources<'a> {
        Sources {
            env: context.env,
            folder: self.path.parent().unwrap_or(Path::new("")),
            files: &self.references.files,
            vault: context.vault,
            placeholders,
        }
    }

    fn error(&self, diagnostics: Vec<Diagnostic>) -> ConfigError {
        ConfigError { file: self.path.clone(), diagnostics }
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        if let Ok(root) = &mut self.root {
            root.wipe();
        }
    }
}

/// Adds a reference to the access token in Vault, unless the file sets a token.
fn add_default_token(root: &mut Node) {
    let (Some(Value::String(namespace)), None) =
        (root.get("namespace").map(|node| &node.value), root.get("access_token"))
    else {
        return;
    };
    let reference = Value::String(format!("vault:secret/{namespace}/health#access_token"));
    if let Value::Table(entries) = &mut root.value {
        entries.push(("access_token".to_owned(), Node { line: 1, value: reference }));
    }
}
