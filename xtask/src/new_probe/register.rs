//! Registers a new probe in the workspace, in the gateway and in CODEOWNERS.

use super::Names;

/// Returns the new text, or `None` if the list to be extended is not found.
pub(super) type Edit = fn(&str, &Names) -> Option<String>;

/// The files to be edited, each with its edit.
pub(super) const EDITS: &[(&str, Edit)] = &[
    ("Cargo.toml", add_to_workspace),
    ("gateway/Cargo.toml", add_to_gateway),
    ("gateway/src/kinds.rs", add_to_table),
    (".github/CODEOWNERS", add_to_owners),
];

/// Adds a line to the paths of the other probes.
fn add_to_workspace(text: &str, names: &Names) -> Option<String> {
    let line = format!("{0} = {{ path = \"crates/{0}\" }}", names.package);
    insert_sorted(text, &line, |line| line.starts_with("probe-") && line.contains("{ path = "))
}

/// Adds the optional dependency, and the feature of the same name to the default ones.
fn add_to_gateway(text: &str, names: &Names) -> Option<String> {
    let (before, rest) = text.split_once("default = [")?;
    let (features, after) = rest.split_once(']')?;
    let mut features: Vec<&str> =
        features.split(',').map(|word| word.trim().trim_matches('"')).collect();
    // A trailing comma leaves an empty name.
    features.retain(|feature| !feature.is_empty());
    features.push(&names.package);
    features.sort_unstable();
    let line: Vec<String> = features.iter().map(|feature| format!("\"{feature}\"")).collect();
    let one_line = line.join(", ");
    let list =
        if one_line.len() <= 85 { one_line } else { format!("\n    {},\n", line.join(",\n    ")) };
    let text = format!("{before}default = [{list}]{after}");
    let line = format!("{} = {{ workspace = true, optional = true }}", names.package);
    insert_sorted(&text, &line, |line| {
        line.starts_with("probe-") && line.contains("optional = true")
    })
}

/// Adds a row of two lines: the feature and the kind.
fn add_to_table(text: &str, names: &Names) -> Option<String> {
    let row = format!("    #[cfg(feature = \"{}\")]\n    {}::KIND,", names.package, names.module);
    insert_sorted(text, &row, |line| line.starts_with("    #[cfg(feature = \"probe-"))
}

/// Adds a line with the owners of everything else, until the crate gets its own.
fn add_to_owners(text: &str, names: &Names) -> Option<String> {
    let owners = text.lines().find_map(|line| line.strip_prefix("* "))?.trim_start();
    let line = format!("/crates/{}/ {owners}", names.package);
    insert_sorted(text, &line, |line| line.starts_with("/crates/probe-"))
}

/// Inserts `new` before the first entry that sorts after it, or after the last one; `begins` is true for the first line of an entry.
fn insert_sorted(text: &str, new: &str, begins: impl Fn(&str) -> bool) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.iter().rposition(|line| begins(line))?;
    let first_after = lines.iter().position(|line| begins(line) && *line > new);
    // All entries of one list have the same number of lines.
    let at = first_after.unwrap_or(last + new.lines().count());
    lines.insert(at, new);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edit: Edit, name: &str, before: &str, after: &str) {
        let names = Names::new(name).unwrap();
        assert_eq!(edit(before, &names).unwrap(), after);
    }

    #[test]
    fn the_workspace_gets_a_line_among_the_other_probes() {
        check(
            add_to_workspace,
            "rabbit",
            "probe = { path = \"crates/probe\" }\nprobe-cache = { path = \"crates/probe-cache\" }\n\ntokio = \"1\"\n",
            "probe = { path = \"crates/probe\" }\nprobe-cache = { path = \"crates/probe-cache\" }\nprobe-rabbit = { path = \"crates/probe-rabbit\" }\n\ntokio = \"1\"\n",
        );
    }

    #[test]
    fn the_gateway_gets_a_feature_that_is_on_by_default() {
        check(
            add_to_gateway,
            "rabbit",
            "default = [\"probe-cache\", \"probe-vault\"]\n\nprobe-cache = { workspace = true, optional = true }\nprobe-vault = { workspace = true, optional = true }\n",
            "default = [\"probe-cache\", \"probe-rabbit\", \"probe-vault\"]\n\nprobe-cache = { workspace = true, optional = true }\nprobe-rabbit = { workspace = true, optional = true }\nprobe-vault = { workspace = true, optional = true }\n",
        );
    }

    #[test]
    fn a_long_list_of_features_gets_a_line_for_each() {
        let long = "cloud-front-with-a-name-of-forty-letters";
        let names = Names::new(long).unwrap();
        let before = "default = [\"probe-cache\", \"probe-postgres\", \"probe-redis\"]\nprobe-redis = { workspace = true, optional = true }\n";
        let after = add_to_gateway(before, &names).unwrap();
        assert!(after.starts_with("default = [\n    \"probe-cache\",\n"), "{after}");
        let again = add_to_gateway(&after, &Names::new("ab").unwrap()).unwrap();
        assert!(
            again.starts_with("default = [\n    \"probe-ab\",\n    \"probe-cache\",\n"),
            "{again}"
        );
    }

    #[test]
    fn the_table_gets_a_row_in_alphabetical_order() {
        let row = |name: &str| {
            format!("    #[cfg(feature = \"probe-{name}\")]\n    probe_{name}::KIND,\n")
        };
        let table = |rows: &[&str]| {
            let rows: Vec<_> = rows.iter().map(|name| row(name)).collect();
            format!("const KINDS: &[Kind] = &[\n{}];\n", rows.concat())
        };
        check(
            add_to_table,
            "rabbit",
            &table(&["cache", "vault"]),
            &table(&["cache", "rabbit", "vault"]),
        );
        check(add_to_table, "websocket", &table(&["cache"]), &table(&["cache", "websocket"]));
    }

    #[test]
    fn the_owners_of_everything_own_the_new_crate() {
        check(
            add_to_owners,
            "rabbit",
            "* @example/all\n/crates/probe-cache/ @example/cache\n/docs/ @example/docs\n",
            "* @example/all\n/crates/probe-cache/ @example/cache\n/crates/probe-rabbit/ @example/all\n/docs/ @example/docs\n",
        );
    }

    #[test]
    fn a_text_without_the_list_is_left_unchanged() {
        let names = Names::new("rabbit").unwrap();
        assert!(EDITS.iter().all(|(_, edit)| edit("nothing like it\n", &names).is_none()));
    }
}
