//! The history's database: one table of one `ClickHouse`, queried over HTTP.

mod grants;
mod response;
mod sql;
mod table;

pub(crate) use table::{ClickhouseTable, validate_name};
