//! The rows: measurements, each of which produces lines of the table.

mod binary;
mod faults;
mod fresh;
mod many;
mod memory;
mod metrics;
mod rate;
mod rest;
mod scale;
mod sharing;
mod silence;
pub(crate) mod start;
mod tls;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::figure::Figure;

/// The input of every row.
pub(crate) struct Bench {
    gateway: PathBuf,
}

impl Bench {
    /// Measures a binary of the gateway.
    pub(crate) fn new(gateway: PathBuf) -> Self {
        Self { gateway }
    }

    pub(crate) fn gateway(&self) -> &Path {
        &self.gateway
    }
}

/// A measurement, which produces one or more figures.
pub(crate) struct Row {
    /// The value of `--only` that selects the row.
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Bench) -> Result<Vec<Figure>>,
}

/// All rows, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "fresh", run: fresh::run },
    Row { name: "tls", run: tls::run },
    Row { name: "rate", run: rate::run },
    Row { name: "start", run: start::run },
    Row { name: "connections", run: sharing::connections },
    Row { name: "runs", run: sharing::runs },
    Row { name: "silence", run: silence::run },
    Row { name: "memory", run: memory::run },
    Row { name: "rest", run: rest::run },
    Row { name: "binary", run: binary::run },
    Row { name: "metrics", run: metrics::run },
    Row { name: "many", run: many::run },
    Row { name: "scale", run: scale::run },
    Row { name: "faults", run: faults::run },
];
