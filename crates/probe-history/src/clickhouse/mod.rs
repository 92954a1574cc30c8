//! The history's database: one table of one `ClickHouse`, queried over HTTP.

mod grants;
pub(crate) mod response;
mod sql;
mod table;
mod writes;

pub(crate) use table::{ClickhouseTable, validate_name};
