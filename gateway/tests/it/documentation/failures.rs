//! The page on failures: every line is in the file of the test that its row names.

use super::page::{Page, in_code};
use super::proofs::source;

const COLUMNS: [&str; 4] = ["failure", "line", "seen", "proof"];

#[test]
fn every_line_of_the_page_on_failures_is_that_of_its_test() {
    let tables = Page::read("docs/failures.md").tables(&COLUMNS);
    let rows: Vec<_> = tables.iter().flat_map(|table| &table.rows).collect();
    assert!(rows.len() > 80, "{} rows", rows.len());
    for row in rows {
        assert_eq!(row.len(), COLUMNS.len(), "{row:?}");
        let proof = in_code(&row[3]).next().unwrap_or_default();
        let source = source(proof).unwrap_or_else(|| panic!("no such test: {proof}"));
        // A string may continue on the next line.
        let source: Vec<_> = source.split("\\\n").map(str::trim_start).collect();
        let source = source.concat();
        let line = in_code(&row[1]).next().unwrap_or_else(|| panic!("`{}`: no line", row[0]));
        let parts = line.split("...").map(|part| part.trim().trim_start_matches(')'));
        for part in parts.filter(|part| !part.is_empty()) {
            assert!(source.contains(part), "`{}`: {proof} has no `{part}`", row[0]);
        }
    }
}
