//! Reads a table of the configuration key by key.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::{
    Diagnostic, Diagnostics, FromNode, KeyUsage, Node, Requirement, Url, Value, ValueError,
};
use crate::{Check, CheckName, Checks, DynCheck, DynChecks, Failure, Grant, Secret, Steps};

/// Why a secret is not masked, and what would be right.
const UNMASKABLE: &str = "its secret is too short or too common to be masked in error texts, expected at least 8 characters that are no common word";

/// Reads one table. A wrong value is reported and read as `None`; reading continues, so that all diagnostics are reported together.
///
/// [`Fields::single`], [`Fields::group`] or [`Fields::finish`] ends the reading and reports unknown keys.
#[derive(Debug)]
pub struct Fields<'a> {
    path: String,
    line: usize,
    entries: &'a [(String, Node)],
    key_usages: Vec<&'static str>,
    others: &'static [&'static str],
    unknown: Option<Failure>,
    diagnostics: &'a Diagnostics,
    clean: bool,
}

impl<'a> Fields<'a> {
    /// Starts reading the table `node` at `path`, which is empty for the top level.
    pub fn new(path: String, node: &'a Node, diagnostics: &'a Diagnostics) -> Self {
        let mut fields = Self {
            path,
            line: node.line,
            entries: node.entries(),
            key_usages: Vec::new(),
            others: &[],
            unknown: None,
            diagnostics,
            clean: true,
        };
        if !matches!(node.value, Value::Table(_)) {
            let message = format!("expected a table, found {}", node.value.kind());
            fields.report(node.line, None, message);
        }
        fields
    }

    /// An empty table, for a name on `line` without a table.
    fn empty(path: String, line: usize, diagnostics: &'a Diagnostics) -> Self {
        Self {
            path,
            line,
            entries: &[],
            key_usages: Vec::new(),
            others: &[],
            unknown: None,
            diagnostics,
            clean: true,
        }
    }

    /// Allows keys that are read elsewhere, or have no meaning here.
    pub fn allow(&mut self, others: &'static [&'static str]) {
        self.others = others;
    }

    /// The value of `key`. Its absence is reported as an error.
    pub fn required<T: FromNode>(&mut self, key: &'static str) -> Option<T> {
        if self.find(key).is_none() {
            self.report(self.line, None, format!("missing `{key}`"));
        }
        self.read(key, Requirement::Required)
    }

    /// The value of `key`, or `None` if it is absent, or wrong, which is reported.
    pub fn optional<T: FromNode>(&mut self, key: &'static str) -> Option<T> {
        self.read(key, Requirement::Optional)
    }

    /// The value of `key`, or `default` if it is absent. The default is recorded by its `Debug` output, so it must not be a secret.
    pub fn with_default<T: FromNode + fmt::Debug>(&mut self, key: &'static str, default: T) -> T {
        self.read(key, Requirement::Default(format!("{default:?}"))).unwrap_or(default)
    }

    /// One of `words`, or the first of them if `key` is absent.
    pub fn one_of<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let absent = self.find(key).is_none();
        let requirement = words.iter().map(|(word, _)| (*word).to_owned()).collect();
        let text: Option<String> = self.read(key, Requirement::OneOf(requirement));
        if absent {
            return words.first().map(|(_, value)| *value);
        }
        let text = text?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.error(key, format!("expected {}", known.join(" or ")));
        }
        found
    }

    /// A required URL with one of `schemes`.
    pub fn url(&mut self, key: &'static str, schemes: &[&str]) -> Option<Url> {
        let url: Url = self.required(key)?;
        self.with_scheme(key, url, schemes)
    }

    /// A URL with one of `schemes`, or `None` if `key` is absent, or wrong, which is reported.
    pub fn optional_url(&mut self, key: &'static str, schemes: &[&str]) -> Option<Url> {
        let url: Url = self.optional(key)?;
        self.with_scheme(key, url, schemes)
    }

    fn with_scheme(&mut self, key: &'static str, url: Url, schemes: &[&str]) -> Option<Url> {
        if schemes.contains(&url.scheme()) {
            return Some(url);
        }
        let known: Vec<_> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
        self.error(key, format!("expected a URL that begins with {}", known.join(" or ")));
        None
    }

    /// Reads the table under `key` with `read`. Returns `None` if it is absent, or wrong, which is reported.
    ///
    /// An unknown value in the table affects only this table: the result is its failure, which the checks that need the table return.
    pub fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Result<T, Failure>> {
        self.record_usage(key, Requirement::Tables);
        let node = self.find(key)?;
        let mut fields = Self::new(format!("{}.{key}", self.path), node, self.diagnostics);
        let made = read(&mut fields);
        fields.report_unknown_keys();
        self.clean &= fields.clean;
        match fields.unknown {
            Some(failure) => Some(Err(failure)),
            None => made.map(Ok),
        }
    }

    /// Reads the table under `key` with `read`, as a part of this table. An absent table is read as an empty one.
    pub fn part<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        self.record_usage(key, Requirement::Tables);
        let path = format!("{}.{key}", self.path);
        let mut fields = match self.find(key) {
            Some(node) => Self::new(path, node, self.diagnostics),
            None => Self::empty(path, self.line, self.diagnostics),
        };
        let made = read(&mut fields);
        fields.report_unknown_keys();
        self.clean &= fields.clean;
        self.unknown = self.unknown.take().or(fields.unknown);
        made
    }

    /// Reads each entry under `key` with `read`: the tables in a table, or the names in an array, which are read as empty tables.
    pub fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Self) -> T,
    ) -> Vec<T> {
        self.record_usage(key, Requirement::Tables);
        let Some(node) = self.find(key) else { return Vec::new() };
        let mut entries = Vec::new();
        match &node.value {
            Value::Table(tables) => {
                for (name, table) in tables {
                    let path = format!("{}.{key}.{name}", self.path);
                    entries.push((name.clone(), Self::new(path, table, self.diagnostics)));
                }
            }
            Value::Array(names) => {
                for node in names {
                    match String::from_node(node) {
                        Ok(name) => {
                            let path = format!("{}.{key}.{name}", self.path);
                            entries.push((name, Self::empty(path, node.line, self.diagnostics)));
                        }
                        Err(error) => self.value_error(node.line, key, error),
                    }
                }
            }
            other => {
                let error = ValueError::expected("an array of names or a table of tables", other);
                self.value_error(node.line, key, error);
            }
        }
        let mut all = Vec::new();
        let mut names = HashSet::new();
        if !entries.iter().all(|(name, _)| names.insert(name.as_str())) {
            self.error(key, "expected each name once");
        }
        for (name, mut fields) in entries {
            all.push(read(&name, &mut fields));
            fields.report_unknown_keys();
            self.clean &= fields.clean;
            self.unknown = self.unknown.take().or(fields.unknown);
        }
        all
    }

    /// Reads each value of the table under `key`, in which any key is allowed. Returns `None` if one of the values is wrong or unknown.
    pub fn named<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &Node) -> Result<T, ValueError>,
    ) -> Option<Vec<T>> {
        self.record_usage(key, Requirement::Optional);
        let Some(node) = self.find(key) else { return Some(Vec::new()) };
        if !matches!(node.value, Value::Table(_)) {
            self.value_error(node.line, key, ValueError::expected("a table", &node.value));
            return None;
        }
        let mut all = Some(Vec::new());
        for (name, node) in node.entries() {
            match (read(name, node), &mut all) {
                (Ok(value), Some(all)) => all.push(value),
                (Ok(_), None) => {}
                (Err(error), _) => {
                    self.value_error(node.line, &format!("{key}.{name}"), error);
                    all = None;
                }
            }
        }
        all
    }

    /// Whether `key` is present.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Reports that the value of `key` is wrong. The message must not quote the value.
    pub fn error(&mut self, key: &'static str, message: impl Into<String>) {
        let line = self.find(key).map_or(self.line, |node| node.line);
        self.report(line, Some(key), message.into());
    }

    /// Notes what is ignored in the value of `key`, or could be improved. The message must not quote the value.
    pub fn note(&self, key: &str, message: impl Into<String>) {
        let line = self.find(key).map_or(self.line, |node| node.line);
        self.diagnostics.note(Diagnostic {
            line,
            key: self.key_path(key),
            message: message.into(),
        });
    }

    /// Notes the parameters of the URL under `key` that are ignored, if there are any.
    pub fn note_ignored(&self, key: &str, mut parameters: Vec<&'static str>) {
        parameters.sort_unstable();
        parameters.dedup();
        let parameters: Vec<_> = parameters.iter().map(|name| format!("`{name}`")).collect();
        if !parameters.is_empty() {
            self.note(key, format!("ignored here: {}", parameters.join(", ")));
        }
    }

    /// Notes that the value of `key` has a secret that cannot be masked, if that is so.
    pub fn note_unmaskable(&self, key: &str, secret: Option<&Secret>) {
        if secret.is_some_and(Secret::is_unmaskable) {
            self.note(key, UNMASKABLE);
        }
    }

    /// Ends the reading with a single check. `make` may use `?` on values that were read: the reason of each `None` has been reported.
    pub fn single<C: Check>(self, make: impl FnOnce() -> Option<C>) -> Option<DynChecks> {
        self.check(make).map(Checks::Single)
    }

    /// Ends the reading with a group of checks under `names`.
    pub fn group<C: Check>(
        mut self,
        names: Vec<CheckName>,
        make: impl Fn(&CheckName) -> Option<C>,
    ) -> Option<DynChecks> {
        self.report_unknown_keys();
        let checks = names.into_iter().map(|name| {
            let check = self.make(|| make(&name))?;
            Some((name, check))
        });
        checks.collect::<Option<Vec<_>>>().map(Checks::Group)
    }

    /// Ends the reading of settings that are not a check.
    pub fn finish(mut self) {
        self.report_unknown_keys();
    }

    /// Ends the reading with a check that the caller adds to a group.
    pub(crate) fn check<C: Check>(
        mut self,
        make: impl FnOnce() -> Option<C>,
    ) -> Option<Arc<dyn DynCheck>> {
        self.report_unknown_keys();
        self.make(make)
    }

    fn make<C: Check>(&self, make: impl FnOnce() -> Option<C>) -> Option<Arc<dyn DynCheck>> {
        match (&self.unknown, self.clean) {
            (_, false) => None,
            (Some(failure), true) => Some(Arc::new(Unavailable(failure.clone()))),
            (None, true) => {
                let check = make();
                debug_assert!(check.is_some(), "{}: no check and no diagnostic", self.path);
                check.map(|check| Arc::new(check) as Arc<dyn DynCheck>)
            }
        }
    }

    fn report_unknown_keys(&mut self) {
        let known: Vec<_> = self.key_usages.iter().chain(self.others).copied().collect();
        let is_unknown = |(key, _): &&(String, Node)| !known.contains(&key.as_str());
        let mut unknown = self.entries.iter().filter(is_unknown).peekable();
        if unknown.peek().is_none() {
            return;
        }
        let expected: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
        let expected = expected.join(", ");
        for (key, node) in unknown {
            let message = format!("unknown key `{key}`, expected one of {expected}");
            self.report(node.line, None, message);
        }
    }

    fn read<T: FromNode>(&mut self, key: &'static str, requirement: Requirement) -> Option<T> {
        self.record_usage(key, requirement);
        let node = self.find(key)?;
        let value = T::from_node(node);
        if value.as_ref().is_ok_and(T::unmaskable) {
            self.note(key, UNMASKABLE);
        }
        value.map_err(|error| self.value_error(node.line, key, error)).ok()
    }

    fn record_usage(&mut self, key: &'static str, requirement: Requirement) {
        self.key_usages.push(key);
        self.diagnostics.record_usage(KeyUsage { table: self.path.clone(), key, requirement });
    }

    fn find(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }

    fn value_error(&mut self, line: usize, key: &str, error: ValueError) {
        match error {
            ValueError::Unknown(failure) => drop(self.unknown.get_or_insert(failure)),
            ValueError::Wrong(message) => self.report(line, Some(key), message),
        }
    }

    fn report(&mut self, line: usize, key: Option<&str>, message: String) {
        self.clean = false;
        let key = key.map_or_else(|| self.path.clone(), |key| self.key_path(key));
        self.diagnostics.push(Diagnostic { line, key, message });
    }

    fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Takes the place of a check with a setting that is not known yet, so that the report keeps its shape.
struct Unavailable(Failure);

impl Check for Unavailable {
    fn target(&self) -> &'static str {
        ""
    }

    async fn check(&self, _: &Steps) -> Result<(), Failure> {
        Err(self.0.clone())
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Err(self.0.clone())
    }
}
