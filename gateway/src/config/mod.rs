//! The configuration of one namespace, built from a file or rejected with all its errors.

mod check_settings;
mod document;
mod files;
mod references;
mod sections;
mod share;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use probe::config::{Diagnostic, Diagnostics, Fields, KeyUsage, Node, Value};
use probe::{CheckName, Secret, SharedResources};
use vault_client::Session;
use zeroize::Zeroizing;

use crate::share::Store;

pub use self::check_settings::{CheckLimits, CheckSettings, Severity, ShareSetting};
pub(crate) use self::document::Document;
pub use self::files::{Checked, check};
pub(crate) use self::files::{list_followed, load_all, load_without_secrets, read_bounded};
pub use self::references::SecretCache;
pub use self::sections::{Component, ConfiguredCheck, REPORT_ORDER};

/// The section with the settings of the Vault server that resolves references.
const VAULT: &str = "vault";
/// The key of the access token.
const ACCESS_TOKEN: &str = "access_token";
/// The length below which a token may be guessed: the right one is never delayed, so only its length protects the report.
const MIN_TOKEN: usize = 16;

/// What a configuration is built from besides its file.
#[derive(Clone, Copy)]
pub struct LoadContext<'a> {
    /// The environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The secrets that have been read from Vault so far.
    pub vault: &'a SecretCache,
    /// The connections and sessions that checks share.
    pub shared: &'a SharedResources,
}

/// The configuration of a namespace.
#[derive(Debug)]
pub struct Configuration {
    /// The namespace's name.
    pub namespace: String,
    /// Which requests are authorized.
    pub access: Access,
    /// The status code of an answer with a critical failure.
    pub failure_status: StatusCode,
    /// The time limit of an answer, whatever its checks wait for.
    pub answer_timeout: Duration,
    /// The components, in the order of the report.
    pub components: Vec<Component>,
    /// The store of shared results, or `None` if there is none or its URL is not known yet.
    pub share: Option<Arc<Store>>,
    /// The session with which secrets are read from Vault.
    pub session: Option<Arc<Session>>,
    /// Every path in Vault that the file refers to.
    pub vault_paths: BTreeSet<String>,
    /// What is ignored or could be improved, although it is not an error.
    pub notes: Vec<Diagnostic>,
}

/// Which requests for a namespace's report are authorized.
#[derive(Clone, Debug)]
pub struct Access {
    /// The access token, or `None` until it has been read from Vault.
    pub token: Option<Secret>,
    /// How long a replaced token stays valid.
    pub grace: Duration,
    /// How an `Authorization: JWT` header is treated.
    pub authorization: Authorization,
}

/// How an `Authorization: JWT` header is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// It may be absent. If present, it must contain the token.
    Optional,
    /// It must be present and contain the token.
    Required,
    /// It is ignored.
    Ignored,
}

/// Everything that is wrong with a file, one diagnostic on each line: `file:line: key: message`.
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
    /// An error of the file as a whole.
    pub(crate) fn of_file(file: &Path, message: String) -> Self {
        let diagnostics = vec![Diagnostic { line: 1, key: String::new(), message }];
        Self { file: file.to_owned(), diagnostics }
    }

    /// Two files define the same namespace.
    pub(crate) fn duplicate_namespace(file: &Path, namespace: &str, other: &Path) -> Self {
        let other = other.display();
        let message = format!(
            "the namespace `{namespace}` is already used by {other}: each file needs its own"
        );
        Self::of_file(file, message)
    }

    /// Two files have the same access token, so a request could not be assigned to one namespace.
    pub(crate) fn duplicate_token(file: &Path, namespace: &str, other: &Path) -> Self {
        let other = other.display();
        let message =
            format!("it is already used by `{namespace}` in {other}: each namespace needs its own");
        let diagnostics = vec![Diagnostic { line: 1, key: ACCESS_TOKEN.to_owned(), message }];
        Self { file: file.to_owned(), diagnostics }
    }
}

impl Configuration {
    /// Reads the `text` of `file`.
    pub fn read(file: &Path, text: &str, context: LoadContext<'_>) -> Result<Self, ConfigError> {
        Document::parse(file, Zeroizing::new(text.to_owned())).build(context)
    }
}

/// Returns every key that is looked up while a file with the content `root` is read, even if it is invalid.
///
/// The documentation is compared with these keys.
pub fn key_usages(root: Node, context: LoadContext<'_>) -> Vec<KeyUsage> {
    let diagnostics = Diagnostics::default();
    let document = Document::new(Path::new(""), Zeroizing::default(), Ok(root));
    drop(document.build_with(context, None, &diagnostics));
    diagnostics.into_key_usages()
}

/// Builds a configuration from a file in which every reference is resolved, or returns `None` if it adds to `diagnostics`.
fn build(
    root: Node,
    shared: &SharedResources,
    session: Option<Arc<Session>>,
    vault_paths: BTreeSet<String>,
    diagnostics: &Diagnostics,
) -> Option<Configuration> {
    let (mut settings, mut sections) = split(root);
    let mut fields = Fields::new(String::new(), &settings, diagnostics);
    // It is a part of keys and messages of the store, and shown in every output.
    let namespace = fields.required::<String>("namespace");
    if let Some(Err(message)) = namespace.as_ref().map(CheckName::new) {
        fields.error("namespace", message);
    }
    let access = access(&mut fields);
    let token_line = settings.get(ACCESS_TOKEN).map_or(1, |node| node.line);
    let failure_status = failure_status(&mut fields);
    let mut store = take_section(&mut sections, share::SECTION);
    let defaults = CheckSettings::of_namespace(&mut fields, store.is_some());
    let answer_timeout = answer_timeout(&mut fields);
    fields.finish();
    let components = sections::components(&sections, defaults, shared, &vault_paths, diagnostics);
    let share = store.as_ref().and_then(|node| share::read(node, shared, diagnostics));
    settings.wipe();
    for section in sections.iter_mut().map(|(_, section)| section).chain(&mut store) {
        section.wipe();
    }
    let answer_timeout = answer_timeout.unwrap_or_else(|| default_answer_timeout(&components));
    let (namespace, access, failure_status) = (namespace?, access?, failure_status?);
    if let Some(note) = access.token.as_ref().and_then(|token| token_note(token, token_line)) {
        diagnostics.note(note);
    }
    let notes = diagnostics.take_notes();
    diagnostics.is_clean().then_some(Configuration {
        namespace,
        access,
        failure_status,
        answer_timeout,
        components,
        share,
        session,
        vault_paths,
        notes,
    })
}

/// Separates the settings of the namespace from the sections.
fn split(root: Node) -> (Node, Vec<(String, Node)>) {
    let entries = match root.value {
        Value::Table(entries) => entries,
        _ => Vec::new(),
    };
    let (sections, settings) =
        entries.into_iter().partition(|(_, node)| matches!(node.value, Value::Table(_)));
    (Node { line: root.line, value: Value::Table(settings) }, sections)
}

/// Removes a section that is no component.
fn take_section(sections: &mut Vec<(String, Node)>, name: &str) -> Option<Node> {
    let at = sections.iter().position(|(known, _)| known == name)?;
    Some(sections.remove(at).1)
}

fn access(fields: &mut Fields<'_>) -> Option<Access> {
    // A token that was stored from a file may end with a newline, which is not part of it.
    let token = fields
        .optional::<String>(ACCESS_TOKEN)
        .map(|token| Secret::new(token.trim_end_matches(['\r', '\n'])));
    match token.as_ref().map(Secret::expose) {
        Some("") => fields.error(ACCESS_TOKEN, "expected a token, found an empty string"),
        Some(token) if token.contains('/') => {
            let message = "expected a token without `/`, which ends it in a request's path";
            fields.error(ACCESS_TOKEN, message);
        }
        _ => {}
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

fn token_note(token: &Secret, line: usize) -> Option<Diagnostic> {
    (token.expose().chars().count() < MIN_TOKEN).then(|| Diagnostic {
        line,
        key: ACCESS_TOKEN.to_owned(),
        message: format!(
            "it has fewer than {MIN_TOKEN} characters and may be guessed: `openssl rand -hex 32` makes a good one"
        ),
    })
}

fn failure_status(fields: &mut Fields<'_>) -> Option<StatusCode> {
    let code = fields.with_default("failure_status", 200_u16);
    // 204, 205 and 304 have no body, and 1xx are not final responses.
    let status = StatusCode::from_u16(code)
        .ok()
        .filter(|_| (200..=599).contains(&code) && ![204, 205, 304].contains(&code));
    if status.is_none() {
        fields.error("failure_status", "expected a status code from 200 to 599 that has a body");
    }
    status
}

/// The time limit of an answer, or `None` for the default.
fn answer_timeout(fields: &mut Fields<'_>) -> Option<Duration> {
    let timeout: Option<Duration> = fields.optional("answer_timeout");
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        fields.error("answer_timeout", "expected a timeout of at least `1ms`");
    }
    timeout
}

/// 10 s, or a second more than the longest timeout of a check, so that a check that starts at once can always complete.
fn default_answer_timeout(components: &[Component]) -> Duration {
    let checks = components.iter().flat_map(|component| component.checks.iter());
    let longest = checks.map(|check| check.settings.limits.timeout).max().unwrap_or_default();
    Duration::from_secs(10).max(longest.saturating_add(Duration::from_secs(1)))
}
