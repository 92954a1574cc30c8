//! The command line: the output of `--help`, compared with the tables of options.

use std::collections::BTreeMap;
use std::process::Command;

use super::configuration;
use super::page::in_code;

/// An option's value, its environment variable and its default.
type Options = BTreeMap<String, (Option<String>, Option<String>)>;

#[test]
fn every_option_is_documented_with_its_variable_and_its_default() {
    let page = configuration();
    let tables = page.tables(&["option", "environment", "default", "meaning"]);
    let mut commands = Vec::new();
    for command in commands_in(&help(&["--help"])) {
        let name = format!("health-gateway {command}");
        assert!(page.mentions(&name), "docs/configuration.md does not mention `{name}`");
        let table = tables.iter().find(|table| table.label.as_ref() == Some(&name));
        let documented: Options =
            table.iter().flat_map(|table| table.rows.iter().map(|row| option(row))).collect();
        assert_eq!(documented, options_in(&help(&[&command, "--help"])), "{name}");
        commands.push(name);
    }
    let unknown = tables.iter().filter_map(|table| table.label.as_ref());
    let unknown: Vec<_> = unknown.filter(|name| !commands.contains(name)).collect();
    assert!(unknown.is_empty(), "no such commands: {unknown:?}");
}

/// The option that a row documents.
fn option(cells: &[String]) -> (String, (Option<String>, Option<String>)) {
    let code = |cell: &String| in_code(cell).next().map(ToOwned::to_owned);
    (code(&cells[0]).unwrap_or_default(), (code(&cells[1]), code(&cells[2])))
}

fn help(arguments: &[&str]) -> String {
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_health-gateway"));
    let output = gateway.args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn commands_in(help: &str) -> Vec<String> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.filter(|name| *name != "help").map(ToOwned::to_owned).collect();
    assert!(names.len() > 1, "{help}");
    names
}

fn options_in(help: &str) -> Options {
    let (mut options, mut last) = (Options::new(), String::new());
    for line in help.lines().map(str::trim) {
        if let Some(at) = line.find("--").filter(|_| line.starts_with('-')) {
            // Two spaces separate the option from its description.
            last = line[at..].split("  ").next().unwrap_or_default().replace(['<', '>'], "");
            options.insert(last.clone(), (None, None));
        }
        if let Some((environment, default)) = options.get_mut(&last) {
            let annotation = |name: &str| {
                let (_, rest) = line.split_once(&format!("[{name}: "))?;
                rest.split(['=', ']']).next().map(ToOwned::to_owned)
            };
            *environment = environment.take().or_else(|| annotation("env"));
            *default = default.take().or_else(|| annotation("default"));
        }
    }
    options.remove("--help");
    options
}
