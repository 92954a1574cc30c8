//! The rows of the table, each with what it measures.

mod faults;
mod fresh;
mod memory;
mod rate;
mod scale;
mod sharing;
mod silence;
pub(crate) mod start;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::figure::Figure;

/// What every row needs.
pub(crate) struct Bench {
    gateway: PathBuf,
}

impl Bench {
    /// Measures this binary of the gateway.
    pub(crate) fn new(gateway: PathBuf) -> Self {
        Self { gateway }
    }

    pub(crate) fn gateway(&self) -> &Path {
        &self.gateway
    }
}

/// One or several lines of the table that are measured together.
pub(crate) struct Row {
    /// As `--only` names it.
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Bench) -> Result<Vec<Figure>>,
}

/// All of them, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "fresh", run: fresh::run },
    Row { name: "rate", run: rate::run },
    Row { name: "start", run: start::run },
    Row { name: "connections", run: sharing::connections },
    Row { name: "runs", run: sharing::runs },
    Row { name: "silence", run: silence::run },
    Row { name: "memory", run: memory::run },
    Row { name: "scale", run: scale::run },
    Row { name: "faults", run: faults::run },
];
