//! `test failures`: the tests that the page on failures names.

use std::collections::{BTreeMap, BTreeSet};

use stack::{Error, Mode, Result};

use crate::{files, test};

const PAGE: &str = "docs/failures.md";

/// The beginning of a command that runs one test.
const COMMAND: &str = "cargo test -p ";

/// Runs every test that the page names.
pub(crate) fn run(mode: Mode) -> Result<()> {
    let tests = tests(&files::read(&stack::workspace().join(PAGE))?);
    if tests.is_empty() {
        return Err(Error::new(format!("{PAGE} names no test")));
    }
    test::named(&tests, mode)
}

/// The names of the tests in the commands of a page, by their crates.
fn tests(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut tests = BTreeMap::<_, BTreeSet<_>>::new();
    for code in page.split('`').filter_map(|code| code.strip_prefix(COMMAND)) {
        if let [package, "--test", "it", name] = code.split(' ').collect::<Vec<_>>()[..] {
            tests.entry(package.to_owned()).or_default().insert(name.to_owned());
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_page_are_grouped_by_their_crates() {
        let page = "| a | `x` | `cargo test -p one --test it b::c` |\n| `cargo test -p one --test it a` |\n`cargo test -p two --test it d`\n`cargo xtask test`";
        let found = tests(page);
        let names = |package: &str| found[package].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((found.len(), names("one"), names("two")), (2, vec!["a", "b::c"], vec!["d"]));
    }
}
