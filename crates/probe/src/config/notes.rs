//! What the reading of a configuration brings to light besides its values.

use std::cell::RefCell;

use super::Mistake;

/// The mistakes that were found, and the keys that were asked for.
#[derive(Debug, Default)]
pub struct Notes {
    mistakes: RefCell<Vec<Mistake>>,
    asked: RefCell<Vec<Asked>>,
}

/// A key that was asked for, whether it is written or not: the documentation is compared with these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The table as a path, for instance `cache.data`; empty for the file itself.
    pub table: String,
    /// The key in it.
    pub key: &'static str,
    /// What it means that the key is not written.
    pub need: Need,
}

/// What it means that a key is not written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It is a mistake.
    Required,
    /// Nothing, or what stands elsewhere.
    Optional,
    /// The same as this value, which is told by its `Debug`.
    Default(String),
    /// The same as the first of these words, which are all that may be written.
    Word(Vec<String>),
    /// That there is no such table, or none of such tables.
    Tables,
}

impl Notes {
    /// Notes a mistake.
    pub fn mistake(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// Whether no mistake was noted.
    pub fn is_clean(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// All mistakes, in the order of their lines.
    pub fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by_key(|mistake| mistake.line);
        mistakes
    }

    /// All keys that were asked for, in the order in which they were.
    pub fn into_asked(self) -> Vec<Asked> {
        self.asked.into_inner()
    }

    /// Adds what was noted elsewhere.
    pub(crate) fn append(&self, other: Self) {
        self.mistakes.borrow_mut().extend(other.mistakes.into_inner());
        self.asked.borrow_mut().extend(other.asked.into_inner());
    }

    pub(crate) fn ask(&self, asked: Asked) {
        self.asked.borrow_mut().push(asked);
    }
}
