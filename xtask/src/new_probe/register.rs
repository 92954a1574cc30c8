//! The three places outside its crate where a new probe is written down, each an edit of one text.

use super::Names;

/// Makes the new text, or nothing when the place is not where it was.
pub(super) type Edit = fn(&str, &Names) -> Option<String>;

/// The files, and how each changes.
pub(super) const EDITS: &[(&str, Edit)] = &[
    ("Cargo.toml", in_the_workspace),
    ("gateway/Cargo.toml", in_the_gateway),
    ("gateway/src/kinds.rs", in_the_table),
];

/// A line beside the other probes, which stand together.
fn in_the_workspace(text: &str, names: &Names) -> Option<String> {
    let line = format!("{0} = {{ path = \"crates/{0}\" }}", names.package);
    insert_sorted(text, &line, |line| line.starts_with("probe-") && line.contains("{ path = "))
}

/// The optional dependency, and the feature of the same name among the default ones.
fn in_the_gateway(text: &str, names: &Names) -> Option<String> {
    let (before, rest) = text.split_once("default = [")?;
    let (features, after) = rest.split_once(']')?;
    let mut features: Vec<&str> =
        features.split(',').map(|word| word.trim().trim_matches('"')).collect();
    // What stands behind a final comma is no feature.
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

/// A row of two lines: the feature it stands under, and the kind.
fn in_the_table(text: &str, names: &Names) -> Option<String> {
    let row = format!("    #[cfg(feature = \"{}\")]\n    {}::KIND,", names.package, names.module);
    insert_sorted(text, &row, |line| line.starts_with("    #[cfg(feature = \"probe-"))
}

/// Inserts `new` before the first entry that sorts after it, or behind the last one; `begins` tells where an entry begins.
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
    fn the_workspace_gets_a_line_beside_the_other_probes() {
        check(
            in_the_workspace,
            "rabbit",
            "probe = { path = \"crates/probe\" }\nprobe-cache = { path = \"crates/probe-cache\" }\n\ntokio = \"1\"\n",
            "probe = { path = \"crates/probe\" }\nprobe-cache = { path = \"crates/probe-cache\" }\nprobe-rabbit = { path = \"crates/probe-rabbit\" }\n\ntokio = \"1\"\n",
        );
    }

    #[test]
    fn the_gateway_gets_a_feature_that_is_on_by_default() {
        check(
            in_the_gateway,
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
        let after = in_the_gateway(before, &names).unwrap();
        assert!(after.starts_with("default = [\n    \"probe-cache\",\n"), "{after}");
        let again = in_the_gateway(&after, &Names::new("ab").unwrap()).unwrap();
        assert!(
            again.starts_with("default = [\n    \"probe-ab\",\n    \"probe-cache\",\n"),
            "{again}"
        );
    }

    #[test]
    fn the_table_gets_a_row_in_its_place() {
        let row = |name: &str| {
            format!("    #[cfg(feature = \"probe-{name}\")]\n    probe_{name}::KIND,\n")
        };
        let table = |rows: &[&str]| {
            let rows: Vec<_> = rows.iter().map(|name| row(name)).collect();
            format!("const KINDS: &[Kind] = &[\n{}];\n", rows.concat())
        };
        check(
            in_the_table,
            "rabbit",
            &table(&["cache", "vault"]),
            &table(&["cache", "rabbit", "vault"]),
        );
        check(in_the_table, "websocket", &table(&["cache"]), &table(&["cache", "websocket"]));
    }

    #[test]
    fn a_text_without_its_place_is_left_alone() {
        let names = Names::new("rabbit").unwrap();
        assert!(EDITS.iter().all(|(_, edit)| edit("nothing like it\n", &names).is_none()));
    }
}
