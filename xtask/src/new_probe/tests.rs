//! Tests of a new probe's names, its registration, and the guide.

use std::process::Command;

use super::*;

#[test]
fn a_name_becomes_a_package_a_module_and_a_kind() {
    let names = Names::new("cloud-front").unwrap();
    assert_eq!(
        (names.package.as_str(), names.module.as_str(), names.kind.as_str()),
        ("probe-cloud-front", "probe_cloud_front", "cloud_front")
    );
}

#[test]
fn a_name_that_no_crate_can_have_is_rejected() {
    for name in ["", "Rabbit", "rabbit_mq", "-rabbit", "rabbit-", "a--b", "7up", "a/b", "ä"] {
        assert!(Names::new(name).is_err(), "{name}");
    }
}

#[test]
fn an_existing_crate_is_left_unchanged() {
    let error = changes(stack::workspace(), "postgres").err().unwrap();
    assert_eq!(error.to_string(), "crates/probe-postgres already exists");
}

#[test]
fn a_failure_restores_what_was_written() {
    let root = tempfile::tempdir().unwrap();
    let existing = root.path().join("existing");
    write(&existing, "before").unwrap();
    // The last file cannot be written, because its folder is a file.
    let new = root.path().join("crates/probe-x/src/lib.rs");
    let changes =
        [(existing.clone(), Some("before")), (new, None), (existing.join("below"), None)].map(
            |(path, before)| Change { path, before: before.map(Into::into), after: "after".into() },
        );
    assert!(apply(&changes).is_err());
    assert_eq!(read(&existing).unwrap(), "before");
    assert!(!root.path().join("crates/probe-x").exists());
}

#[test]
fn every_probe_is_registered() {
    let read = |file: &str| read(&stack::workspace().join(file)).unwrap();
    let [features, kinds, owners] =
        ["gateway/Cargo.toml", "gateway/src/kinds.rs", ".github/CODEOWNERS"].map(read);
    for entry in fs::read_dir(stack::workspace().join("crates")).unwrap() {
        let package = entry.unwrap().file_name().into_string().unwrap();
        if !package.starts_with("probe-") || package == "probe-testkit" {
            continue;
        }
        let module = package.replace('-', "_");
        assert!(features.contains(&format!("\"{package}\"")), "{package} is no default feature");
        assert!(kinds.contains(&format!(" {module}::KIND,\n")), "{package} is not in kinds.rs");
        let owned = format!("\n/crates/{package}/ @");
        assert!(owners.contains(&owned), "{package} is not in CODEOWNERS");
    }
}

#[test]
fn the_gateway_uses_every_backend() {
    let compose = read(&stack::workspace().join("docker-compose.yml")).unwrap();
    let gateway = compose.split("\n  gateway:\n").nth(1).unwrap();
    let depends_on = gateway.split("    depends_on:\n").nth(1).unwrap();
    let depends_on: Vec<_> =
        depends_on.lines().map_while(|line| line.strip_prefix("      - ")).collect();
    let backends = read(&stack::workspace().join("gateway/tests/backends")).unwrap();
    for name in stack::names() {
        assert!(depends_on.contains(&name), "docker-compose.yml: no {name} in depends_on");
        assert!(backends.lines().any(|line| line == name), "gateway/tests/backends: no {name}");
    }
}

/// Follows the guide without starting its real server, which would have to be installed.
#[test]
fn the_guide_adds_a_probe() {
    let _alone = cargo::GATEWAY_BINARY.lock();
    let own = std::env::current_exe().unwrap();
    // The target folder of this test, where the dependencies are built already.
    let target = own.ancestors().nth(3).unwrap();
    let root = target.join("new-probe-test");
    copy_the_workspace_to(&root);
    // Cargo distinguishes equal crates of two workspaces only by their versions, and shares their builds otherwise.
    let manifest = root.join("Cargo.toml");
    let text = read(&manifest).unwrap();
    let version = format!("version = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text.matches(&version).count(), 1, "Cargo.toml");
    write(&manifest, &text.replace(&version, "version = \"0.0.0-guide\"\n")).unwrap();
    let run = |args: &[&str]| {
        let mut command = cargo::cargo(args);
        command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
        cargo::run(command.current_dir(&root)).unwrap();
    };

    apply(&changes(&root, "memcached").unwrap()).unwrap();
    run(&["fmt", "--all", "--check"]);
    run(&["test", "--package", "probe-memcached"]);

    guide::apply(&read(&root.join("docs/adding-a-probe.md")).unwrap(), &root);
    run(&["fmt", "--all", "--check"]);
    let probe_and_stack = ["clippy", "--package", "probe-memcached", "--package", "stack"];
    run(&[&probe_and_stack[..], &["--all-targets", "--", "-D", "warnings"]].concat());
    run(&["test", "--package", "stack", "--lib", "--", "compose::"]);
    let pinned = ["--", "configuration::", "documentation::"];
    run(&[&["test", "--package", "gateway", "--test", "it"][..], &pinned].concat());
}

/// Copies the sources with their times, so that what is unchanged since the last run is not rebuilt.
fn copy_the_workspace_to(root: &Path) {
    if root.exists() {
        fs::remove_dir_all(root).unwrap();
    }
    fs::create_dir(root).unwrap();
    let sources = [
        ".github",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "clippy.toml",
        "crates",
        "deploy",
        "docker-compose.yml",
        "docs",
        "gateway",
        "rustfmt.toml",
        "xtask",
    ];
    let status = Command::new("cp")
        .args(["--recursive", "--preserve=timestamps"])
        .args(sources.map(|source| stack::workspace().join(source)))
        .arg(root)
        .status();
    assert!(status.unwrap().success());
}
