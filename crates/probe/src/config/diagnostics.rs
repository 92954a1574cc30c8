//! What the reading of a configuration brings to light besides its values.

use std::cell::RefCell;

use super::Diagnostic;

/// The mistakes that were found, and the keys that were asked for.
#[derive(Debug, Default)]
pub struct Diagnostics {
    diagnostics: RefCell<Vec<Diagnostic>>,
    key_usages: RefCell<Vec<KeyUsage>>,
}

/// A key that was asked for, whether it is written or not: the documentation is compared with these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUsage {
    /// The table as a path, for instance `cache.data`; empty for the file itself.
    pub table: String,
    /// The key in it.
    pub key: &'static str,
    /// What it means that the key is not written.
    pub requirement: Requirement,
}

/// What it means that a key is not written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// It is a mistake.
    Required,
    /// Nothing, or what stands elsewhere.
    Optional,
    /// The same as this value, which is told by its `Debug`.
    Default(String),
    /// The same as the first of these words, which are all that may be written.
    OneOf(Vec<String>),
    /// That there is no such table, or none of such tables.
    Tables,
}

impl Diagnostics {
    /// Notes a mistake.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// Whether no mistake was noted.
    pub fn is_clean(&self) -> bool {
        self.diagnostics.borrow().is_empty()
    }

    /// All mistakes, in the order of their lines.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics.into_inner();
        diagnostics.sort_by_key(|diagnostic| diagnostic.line);
        diagnostics
    }

    /// All keys that were asked for, in the order in which they were.
    pub fn into_key_usages(self) -> Vec<KeyUsage> {
        self.key_usages.into_inner()
    }

    /// Adds what was noted elsewhere.
    pub(crate) fn append(&self, other: Self) {
        self.diagnostics.borrow_mut().extend(other.diagnostics.into_inner());
        self.key_usages.borrow_mut().extend(other.key_usages.into_inner());
    }

    pub(crate) fn record_usage(&self, key_usages: KeyUsage) {
        self.key_usages.borrow_mut().push(key_usages);
    }
}
