//! The configuration of one namespace: a file as written becomes what the gateway runs, or a list of everything that is wrong with it.

mod check;
mod references;
mod sections;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use probe::config::{Diagnostic, Diagnostics, Fields, KeyUsage, Node, Value};
use probe::{Secret, SharedResources};
use vault_client::Session;

pub use self::check::{check, read_all};
pub use self::references::{SecretCache, read_bounded};
pub use self::sections::{Component, ConfiguredCheck};
use crate::runner::Limits;

/// The name of the section that says where `vault:` references are read.
const VAULT: &str = "vault";

/// What a file needs besides its own text.
#[derive(Clone, Copy)]
pub struct LoadContext<'a> {
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// What has been read from Vault so far.
    pub vault: &'a SecretCache,
    /// Where checks find what they share.
    pub shared: &'a SharedResources,
}

/// A namespace as it is run.
#[derive(Debug)]
pub struct Configuration {
    /// The namespace's name.
    pub namespace: String,
    /// Who may ask.
    pub access: Access,
    /// The status code of an answer in which something is not working.
    pub failure_status: StatusCode,
    /// How long an answer may take, whatever its checks wait for.
    pub answer_timeout: Duration,
    /// The components, in the order of the answer.
    pub components: Vec<Component>,
    /// The session that `vault:` references are read with.
    pub session: Option<Arc<Session>>,
    /// Every path in Vault that the file refers to.
    pub vault_paths: BTreeSet<String>,
    /// Every other file that it refers to, with its content.
    pub files: BTreeMap<PathBuf, String>,
}

/// Who may ask for a namespace's report.
#[derive(Clone, Debug)]
pub struct Access {
    /// The access token, unless Vault has not told it yet.
    pub token: Option<Secret>,
    /// How long a replaced token stays valid.
    pub grace: Duration,
    /// What to make of an `Authorization: JWT` header.
    pub authorization: Authorization,
}

/// What to make of an `Authorization: JWT` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// It may be absent; if present, it must hold the token.
    Optional,
    /// It must be present and hold the token.
    Required,
    /// It changes nothing.
    Ignored,
}

/// What is wrong with a file, each mistake on a line of its own: `file:line: key: message`.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Everything that is wrong with it, in the order of its lines.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, diagnostic) in self.diagnostics.iter().enumerate() {
            let end = if at + 1 == self.diagnostics.len() { "" } else { "\n" };
            write!(f, "{}:{diagnostic}{end}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// `file` cannot be used at all.
    pub fn of_file(file: &Path, message: String) -> Self {
        let diagnostics = vec![Diagnostic { line: 1, key: String::new(), message }];
        Self { file: file.to_owned(), diagnostics }
    }

    /// `file` is of the same `namespace` as the `other`.
    pub fn duplicate_namespace(file: &Path, namespace: &str, other: &Path) -> Self {
        let other = other.display();
        let message = format!(
            "the namespace `{namespace}` is that of {other} already: each file has its own"
        );
        Self::of_file(file, message)
    }
}

/// The files that `path` stands for: itself, or every `*.toml` in it if it is a folder.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let wrong = |error: std::io::Error| {
        let cause = probe::Cause::from(error);
        ConfigError::of_file(path, format!("cannot list the folder: {}", cause.text()))
    };
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(wrong)? {
        let file = entry.map_err(wrong)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(ConfigError::of_file(
            path,
            "there is no `*.toml` file in this folder".to_owned(),
        ));
    }
    Ok(files)
}

impl Configuration {
    /// Reads the `text` of `file`.
    pub fn read(file: &Path, text: &str, context: LoadContext<'_>) -> Result<Self, ConfigError> {
        let wrong = |diagnostics| ConfigError { file: file.to_owned(), diagnostics };
        let root = Node::parse(text).map_err(wrong)?;
        let diagnostics = Diagnostics::default();
        read(file, root, context, None, &diagnostics)
            .ok_or_else(|| wrong(diagnostics.into_diagnostics()))
    }

    /// Reads the `text` of `file` for whom secrets do not matter: what is missing is stood in for by the reference to it. A check to which that does not do does not know its settings.
    pub fn read_without_secrets(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let env = |name: &str| std::env::var(name).ok();
        let context = LoadContext {
            env: &env,
            vault: &SecretCache::new(),
            shared: &SharedResources::default(),
        };
        let wrong = |diagnostics| ConfigError { file: file.to_owned(), diagnostics };
        let mut placeholders = references::Placeholders::default();
        loop {
            let root = Node::parse(text).map_err(wrong)?;
            let diagnostics = Diagnostics::default();
            if let Some(read) = read(file, root, context, Some(&placeholders), &diagnostics) {
                return Ok(read);
            }
            let diagnostics = diagnostics.into_diagnostics();
            if !placeholders.give_up(&diagnostics) {
                return Err(wrong(diagnostics));
            }
        }
    }
}

/// Every key that is asked for when a file that holds `root` is read, whatever is wrong with it: the documentation is compared with these.
pub fn key_usages(root: Node, context: LoadContext<'_>) -> Vec<KeyUsage> {
    let diagnostics = Diagnostics::default();
    drop(read(Path::new(""), root, context, None, &diagnostics));
    diagnostics.into_key_usages()
}

fn read(
    file: &Path,
    mut root: Node,
    context: LoadContext<'_>,
    placeholders: Option<&references::Placeholders>,
    diagnostics: &Diagnostics,
) -> Option<Configuration> {
    add_default_token(&mut root);
    let folder = file.parent().unwrap_or(Path::new(""));
    let sources =
        references::Sources { env: context.env, folder, vault: context.vault, placeholders };
    let mut found = references::Resolved::default();
    references::replace(&mut root, "", sources, &mut found);

    for diagnostic in std::mem::take(&mut found.diagnostics) {
        diagnostics.push(diagnostic);
    }
    let (settings, sections) = split(root);
    let mut fields = Fields::new(String::new(), &settings, diagnostics);
    let namespace = fields.required::<String>("namespace");
    let access = access(&mut fields);
    let failure_status = failure_status(&mut fields);
    let limits = limits(&mut fields);
    let answer_timeout = answer_timeout(&mut fields);
    fields.finish();
    let components = sections::components(&sections, limits, context.shared, diagnostics);
    let answer_timeout = answer_timeout.unwrap_or_else(|| default_answer_timeout(&components));
    let session = session(&sections, context.shared, &found, diagnostics);
    let (namespace, access, failure_status) = (namespace?, access?, failure_status?);
    diagnostics.is_clean().then_some(Configuration {
        namespace,
        access,
        failure_status,
        answer_timeout,
        components,
        session,
        vault_paths: found.vault_paths,
        files: found.files,
    })
}

/// The access token is kept in Vault unless the file says otherwise.
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

/// The file's own settings, and its sections.
fn split(root: Node) -> (Node, Vec<(String, Node)>) {
    let entries = match root.value {
        Value::Table(entries) => entries,
        _ => Vec::new(),
    };
    let (sections, settings) =
        entries.into_iter().partition(|(_, node)| matches!(node.value, Value::Table(_)));
    (Node { line: root.line, value: Value::Table(settings) }, sections)
}

fn access(fields: &mut Fields<'_>) -> Option<Access> {
    let token = fields.optional::<Secret>("access_token");
    if token.as_ref().is_some_and(|token| token.expose().is_empty()) {
        fields.error("access_token", "expected a token, found an empty string");
    }
    let grace = fields.with_default("access_token_grace", Duration::ZERO);
    let authorization = fields.one_of(
        "authorization",
        &[
            ("optional", Authorization::Optional),
            ("required", Authorization::Required),
            ("ignored", Authorization::Ignored),
        ],
    )?;
    Some(Access { token, grace, authorization })
}

fn failure_status(fields: &mut Fields<'_>) -> Option<StatusCode> {
    let code = fields.with_default("failure_status", 200_u16);
    // 204, 205 and 304 have no body, and 1xx are no answers.
    let status = StatusCode::from_u16(code)
        .ok()
        .filter(|_| (200..=599).contains(&code) && ![204, 205, 304].contains(&code));
    if status.is_none() {
        fields.error("failure_status", "expected a status code from 200 to 599 that has a body");
    }
    status
}

/// The limits that hold where no section and no check has its own.
fn limits(fields: &mut Fields<'_>) -> Limits {
    let limits = Limits {
        timeout: fields.with_default("timeout", Duration::from_secs(5)),
        max_age: fields.with_default("max_age", Duration::from_secs(1)),
        overdue_wait: fields.with_default("overdue_wait", Duration::from_millis(100)),
    };
    sections::expect_time(fields, limits);
    limits
}

/// How long an answer may take, or `None` if the file leaves that to the default.
fn answer_timeout(fields: &mut Fields<'_>) -> Option<Duration> {
    let timeout: Option<Duration> = fields.optional("answer_timeout");
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        fields.error("answer_timeout", "expected a timeout of at least `1ms`");
    }
    timeout
}

/// 10 s, or a second more than the longest timeout of a check: no check that starts at once is cut short.
fn default_answer_timeout(components: &[Component]) -> Duration {
    let checks = components.iter().flat_map(|component| component.checks.iter());
    let longest = checks.map(|check| check.limits.timeout).max().unwrap_or_default();
    Duration::from_secs(10).max(longest.saturating_add(Duration::from_secs(1)))
}

/// The session that references are read with, from the section that also becomes the check.
fn session(
    sections: &[(String, Node)],
    shared: &SharedResources,
    found: &references::Resolved,
    diagnostics: &Diagnostics,
) -> Option<Arc<Session>> {
    let Some((_, node)) = sections.iter().find(|(name, _)| name == VAULT) else {
        if let Some(path) = found.vault_paths.first() {
            let message = format!(
                "`vault:{path}` is referred to, and there is no `[vault]` section that says where to read it"
            );
            diagnostics.push(Diagnostic { line: 1, key: String::new(), message });
        }
        return None;
    };
    // The check notes what is wrong with the section; here it would be said twice.
    let unsaid = Diagnostics::default();
    let mut fields = Fields::new(VAULT.to_owned(), node, &unsaid);
    Session::read_settings(&mut fields, shared)
}
