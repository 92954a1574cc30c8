//! Tests `docs/reliability.md`: every command in its tables names an existing test or task.

use super::page::{Page, in_code};
use super::proofs::exists;

const COLUMNS: [&str; 4] = ["condition", "what happens", "figure", "proof"];

#[test]
fn every_proof_of_the_page_on_reliability_exists() {
    let tables = Page::read("docs/reliability.md").tables(&COLUMNS);
    let rows: Vec<_> = tables.iter().flat_map(|table| &table.rows).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows {
        assert_eq!(row.len(), COLUMNS.len(), "{row:?}");
        let proofs: Vec<_> = in_code(&row[3]).collect();
        assert!(!proofs.is_empty(), "`{}` has no proof", row[0]);
        for proof in proofs {
            assert!(exists(proof), "`{}`: no such test or task: {proof}", row[0]);
        }
    }
}
