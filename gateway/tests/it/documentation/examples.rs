//! The examples: every one of them is a valid configuration.

use std::fs;
use std::process::Command;

use probe_testkit::Authority;

use super::page::Page;

/// Every example of the documentation and of the probes as a complete file, after its file and line.
pub(super) fn all() -> Vec<(String, String)> {
    let mut pages = vec!["README.md".to_owned()];
    pages.extend(files("docs", |name| name.strip_suffix(".md").map(|page| format!("{page}.md"))));
    pages.extend(files("crates", |name| {
        name.starts_with("probe-").then(|| format!("{name}/src/lib.rs"))
    }));
    let examples = pages.iter().flat_map(|page| Page::read(page).examples());
    examples.map(|(location, text)| (location, complete(&text))).collect()
}

fn files(folder: &str, name: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let entries = fs::read_dir(stack::workspace().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|file| name(&file)).map(|name| format!("{folder}/{name}")).collect()
}

/// Adds to an example what a complete file needs.
fn complete(text: &str) -> String {
    let is_complete = text.starts_with("namespace = ");
    let top = if is_complete { "" } else { "namespace = \"example\"\naccess_token = \"token\"\n" };
    let needs_vault = text.contains("vault:") && !text.contains("[vault]");
    let vault = "[vault]\nurl = \"https://vault:8200\"\ntoken = \"token\"\n";
    format!("{top}{text}{}", if needs_vault { vault } else { "" })
}

#[test]
fn every_example_passes_check_config() {
    let authority = Authority::new("internal");
    let client = authority.issue_for_user("health-gateway");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("internal-ca.pem", &authority.pem),
        ("health-gateway.pem", &client.certificate),
        ("health-gateway.key", &client.key),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let (mut errors, examples) = (Vec::new(), all());
    for (location, text) in &examples {
        let file = folder.path().join("example.toml");
        fs::write(&file, text).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_health-gateway"));
        check.arg("check-config").arg(&file);
        for reference in text.split("${env:").skip(1) {
            check.env(reference.split_once('}').unwrap().0, "eu-central-1");
        }
        let output = check.output().unwrap();
        if !output.status.success() {
            errors.push(format!("{location}: {}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(examples.len() >= gateway::kinds::KINDS.len(), "fewer examples than probes were found");
}
