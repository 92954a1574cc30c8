//! The report: what every check said, in the order of the answer, before it is written as JSON or HTML.

use std::time::Duration;

/// What `status` says of a check that passed.
pub const WORKING: &str = "working";

/// One answer to "can each of them do its work right now".
#[derive(Clone, Debug)]
pub struct Report {
    /// Every component by its name.
    pub components: Vec<(String, Entry)>,
    /// The age of the oldest stored result in it; `None` if every check ran for this report.
    pub age: Option<Duration>,
}

/// A component in the report.
#[derive(Clone, Debug)]
pub enum Entry {
    /// It is one check.
    Check(Line),
    /// It is a group of named checks.
    Group(Vec<(String, Line)>),
}

/// What one check said.
#[derive(Clone, Debug)]
pub struct Line {
    /// [`WORKING`], or the failure in one line.
    pub status: String,
    /// How long the check took, or has been waited for.
    pub response_time: Duration,
}

impl Report {
    /// Whether every check works.
    pub fn all_working(&self) -> bool {
        self.components.iter().all(|(_, entry)| match entry {
            Entry::Check(line) => line.is_working(),
            Entry::Group(lines) => lines.iter().all(|(_, line)| line.is_working()),
        })
    }
}

impl Line {
    /// Whether the check passed.
    pub fn is_working(&self) -> bool {
        self.status == WORKING
    }
}
