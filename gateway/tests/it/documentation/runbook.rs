//! Compares the components, steps and alerts of the runbook with the code and the rules.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gateway::config::REPORT_ORDER;
use gateway::kinds::KINDS;
use gateway::metrics::{Family, families};
use regex_lite::Regex;

use super::page::{Page, in_code};

const RULES: &str = "deploy/prometheus/rules.yml";
/// The names of the steps that have the same meaning in every probe.
const STEPS: &str = "crates/probe/src/steps.rs";

#[test]
fn the_runbook_has_every_step_of_a_check_and_no_other() {
    let page = Page::read("docs/runbook.md");
    let tables = page.tables(&["step", "what the failure means", "what to try first"]);
    let rows = tables.iter().flat_map(|table| &table.rows);
    let documented: BTreeSet<_> =
        rows.flat_map(|row| in_code(&row[0]).map(ToOwned::to_owned).collect::<Vec<_>>()).collect();
    let steps = steps();
    assert!(steps.len() > 40, "only {steps:?} were found");
    let missing: Vec<_> = steps.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/runbook.md has no row for {missing:?}");
    let sources: String = sources().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let shared = fs::read_to_string(stack::workspace().join(STEPS)).unwrap();
    let is_named = |step: &&String| {
        let literal = format!("\"{step}\"");
        sources.contains(&literal) || shared.contains(&literal)
    };
    let unknown: Vec<_> = documented.iter().filter(|step| !is_named(step)).collect();
    assert!(unknown.is_empty(), "no check has the steps {unknown:?} of docs/runbook.md");
}

#[test]
fn every_component_and_every_alert_has_a_section_in_the_runbook() {
    let page = Page::read("docs/runbook.md");
    let rules = fs::read_to_string(stack::workspace().join(RULES)).unwrap();
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let kinds = KINDS.iter().map(|kind| kind.name);
    for name in alerts.clone().chain(kinds).chain(REPORT_ORDER.iter().copied()) {
        assert!(page.mentions(&format!("### `{name}`")), "docs/runbook.md has no section `{name}`");
    }
    assert_eq!(rules.matches("runbook_url:").count(), alerts.count());
}

#[test]
fn the_rules_use_only_metrics_that_exist() {
    let rules = fs::read_to_string(stack::workspace().join(RULES)).unwrap();
    let metrics: BTreeSet<_> = families().map(Family::name).collect();
    // A name after a colon is that of a recorded series.
    let names = Regex::new(r"(?:^|[^:\w])(health_gateway_\w+)").unwrap();
    let used: BTreeSet<_> = names.captures_iter(&rules).map(|name| name[1].to_owned()).collect();
    assert!(used.len() > 5 && used.is_subset(&metrics), "{:?}", used.difference(&metrics));
}

/// The steps that the sources of the probes and of the gateway begin or fail in.
fn steps() -> BTreeSet<String> {
    let used = Regex::new(
        r#"(?:\bsteps?\.run|\.begin|\.begin_with|Failure::msg|Failure::new|Command::new)\(\s*(?:"([a-z ]+)"|(?:\w+::)*([A-Z_]+)\b)"#,
    );
    let constant = Regex::new(r#"const ([A-Z_]+): &str = "([^"]+)";"#).unwrap();
    let (used, mut steps) = (used.unwrap(), BTreeSet::new());
    let shared = fs::read_to_string(stack::workspace().join(STEPS)).unwrap();
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let constants = format!("{code}{shared}");
        for step in used.captures_iter(code) {
            if let Some(literal) = step.get(1) {
                steps.insert(literal.as_str().to_owned());
                continue;
            }
            let mut named = constant.captures_iter(&constants).filter(|it| it[1] == step[2]);
            steps.extend(named.next().map(|it| it[2].to_owned()));
        }
    }
    steps
}

fn sources() -> Vec<PathBuf> {
    let crates = fs::read_dir(stack::workspace().join("crates")).unwrap();
    let crates = crates.map(|entry| entry.unwrap().path()).filter(|path| {
        !["bench", "probe", "probe-testkit", "stack"].iter().any(|other| path.ends_with(other))
    });
    let mut folders: Vec<_> = crates.map(|path| path.join("src")).collect();
    folders.extend(["runner", "share"].map(|it| stack::workspace().join("gateway/src").join(it)));
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension() == Some(Path::new("rs").as_os_str()) {
                files.push(path);
            }
        }
    }
    files
}
