//! Diagnostics, notes and key usages that are collected while a configuration is read.

use std::cell::RefCell;

use super::Diagnostic;

/// Collects diagnostics, notes, and the keys that the code reads.
#[derive(Debug, Default)]
pub struct Diagnostics {
    errors: RefCell<Vec<Diagnostic>>,
    notes: RefCell<Vec<Diagnostic>>,
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
        self.errors.borrow_mut().push(diagnostic);
    }

    /// Adds a note, which is not an error: what is ignored, or could be improved.
    pub fn note(&self, note: Diagnostic) {
        self.notes.borrow_mut().push(note);
    }

    /// Removes and returns all notes in the order of their lines.
    pub fn take_notes(&self) -> Vec<Diagnostic> {
        let mut notes = self.notes.take();
        notes.sort_by_key(|note| note.line);
        notes
    }

    /// Whether there is no diagnostic.
    pub fn is_clean(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    /// All diagnostics in the order of their lines.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut diagnostics = self.errors.into_inner();
        diagnostics.sort_by_key(|diagnostic| diagnostic.line);
        diagnostics
    }

    /// All keys in the order in which they were read.
    pub fn into_key_usages(self) -> Vec<KeyUsage> {
        self.key_usages.into_inner()
    }

    /// Adds everything that `other` has collected.
    pub(crate) fn append(&self, other: Self) {
        self.errors.borrow_mut().extend(other.errors.into_inner());
        self.notes.borrow_mut().extend(other.notes.into_inner());
        self.key_usages.borrow_mut().extend(other.key_usages.into_inner());
    }

    pub(crate) fn record_usage(&self, key_usages: KeyUsage) {
        self.key_usages.borrow_mut().push(key_usages);
    }
}
