//! The size of the binary.

use std::fs;

use crate::error::{Context, Result};
use crate::figure::{Bound, Figure};
use crate::measure::{Measurement, megabytes};
use crate::rows::Bench;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let path = bench.gateway().display().to_string();
    let bytes = fs::metadata(bench.gateway()).context(&path)?.len();
    Ok(vec![Figure {
        name: "size of the binary".to_owned(),
        measured: Measurement::exact(megabytes(bytes)),
        unit: " MB",
        bound: Bound::AtMost(16.0),
        detail: path,
    }])
}
