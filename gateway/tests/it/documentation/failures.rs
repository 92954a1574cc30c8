//! Tests `docs/failures.md`: each line is in the file of the test that its row names.

use super::page::{Page, in_code};
use super::proofs::source;

const COLUMNS: [&str; 5] = ["failure", "line", "detected", "recovery", "proof"];

/// The words of the column "recovery", which the page explains.
#[rustfmt::skip]
const RECOVERIES: [&str; 9] = [
    "", "next run", "next read", "pause", "notice", "replay", "statistics", "no failure", "settings",
];

#[test]
fn every_line_of_the_page_on_failures_is_that_of_its_test() {
    let tables = Page::read("docs/failures.md").tables(&COLUMNS);
    let rows: Vec<_> = tables.iter().flat_map(|table| &table.rows).collect();
    assert!(rows.len() > 200, "{} rows", rows.len());
    for row in rows {
        assert_eq!(row.len(), COLUMNS.len(), "{row:?}");
        let proof = in_code(&row[4]).next().unwrap_or_default();
        let source = source(proof).unwrap_or_else(|| panic!("no such test: {proof}"));
        assert!(RECOVERIES.contains(&row[3].as_str()), "`{}`: {}", row[0], row[3]);
        assert_eq!(row[1].starts_with("none"), row[3] == "no failure", "`{}`", row[0]);
        if !row[3].is_empty() {
            // The test repairs the backend, and asserts that the check works.
            let name = proof.rsplit([':', ' ']).next().unwrap_or_default();
            let body = reached(&source, name);
            let works = [
                "expect_working()",
                "is_working",
                r#"[""; 0]"#,
                ".fails(",
                "fails(&[",
                ".connect(&settings",
            ];
            assert!(works.iter().any(|call| body.contains(call)), "`{}`: {proof}", row[0]);
        }
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

/// The source of the test with this name, and of the functions of its file that it calls.
fn reached(source: &str, name: &str) -> String {
    let functions: Vec<_> =
        source.split("fn ").skip(1).filter_map(|rest| rest.split('(').next()).collect();
    let (mut names, mut next) = (vec![name], 0);
    let mut text = String::new();
    while let Some(name) = names.get(next) {
        let body = body(source, name);
        let called = |function: &&str| body.contains(&format!("{function}("));
        let new: Vec<_> = functions
            .iter()
            .copied()
            .filter(called)
            .filter(|function| !names.contains(function))
            .collect();
        names.extend(new);
        text.push_str(body);
        next += 1;
    }
    text
}

/// The source of the function with this name.
fn body<'a>(source: &'a str, name: &str) -> &'a str {
    let start = source.find(&format!("fn {name}(")).unwrap_or_default();
    let end = source[start..].find("\n}\n").map_or(source.len(), |end| start + end);
    &source[start..end]
}
