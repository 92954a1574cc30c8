//! Diagnostics and key usages that are collected while a configuration is read.

use std::cell::RefCell;

use super::Diagnostic;

/// Collects diagnostics, and the keys that the code reads.
#[derive(Debug, Default)]
pub struct Diagnostics {
    diagnostics: RefCell<Vec<Diagnostic>>,
    key_usages: RefCell<Vec<KeyUsage>>,
}

/// A key that the code reads, whether it is present or not. The documentation is compared with these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUsage {
    /// The path of the table, such as `cache.data`; empty for the top level.
    pub table: String,
    /// The key in this table.
    pub key: &'static str,
    /// What the absence of the key means.
    pub requirement: Requirement,
}

/// What the absence of a key means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// An error.
    Required,
    /// No value, or a value that is configured elsewhere.
    Optional,
    /// The same as this value, formatted by `Debug`.
    Default(String),
    /// The same as the first of these words, which are the only values allowed.
    OneOf(Vec<String>),
    /// The absence of a table or a group of tables.
    Tables,
}

impl Diagnostics {
    /// Adds a diagnostic.
    pub fn push(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// Whether there is no diagnostic.
    pub fn is_clean(&self) -> bool {
        self.diagnostics.borrow().is_empty()
    }

    /// All diagnostics in the order of their lines.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics.into_inner();
        diagnostics.sort_by_key(|diagnostic| diagnostic.line);
        diagnostics
    }

    /// All keys in the order in which they were read.
    pub fn into_key_usages(self) -> Vec<KeyUsage> {
        self.key_usages.into_inner()
    }

    /// Adds everything that `other` has collected.
    pub(crate) fn append(&self, other: Self) {
        self.diagnostics.borrow_mut().extend(other.diagnostics.into_inner());
        self.key_usages.borrow_mut().extend(other.key_usages.into_inner());
    }

    pub(crate) fn record_usage(&self, key_usages: KeyUsage) {
        self.key_usages.borrow_mut().push(key_usages);
    }
}
