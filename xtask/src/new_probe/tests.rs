//! Names, and a new probe made in a copy of this workspace.

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
fn a_name_that_no_crate_can_have_is_refused() {
    for name in ["", "Rabbit", "rabbit_mq", "-rabbit", "rabbit-", "a--b", "7up", "a/b", "ä"] {
        assert!(Names::new(name).is_err(), "{name}");
    }
}

#[test]
fn a_crate_that_exists_is_left_alone() {
    let error = changes(stack::workspace(), "postgres").err().unwrap();
    assert_eq!(error.to_string(), "crates/probe-postgres exists already");
}

#[test]
fn a_failure_takes_back_what_was_written() {
    let root = tempfile::tempdir().unwrap();
    let kept = root.path().join("kept");
    write(&kept, "before").unwrap();
    // The last file cannot be written, since its folder is a file.
    let new = root.path().join("crates/probe-x/src/lib.rs");
    let changes = [(kept.clone(), Some("before")), (new, None), (kept.join("below"), None)].map(
        |(path, before)| Change { path, before: before.map(Into::into), after: "after".into() },
    );
    assert!(apply(&changes).is_err());
    assert_eq!(read(&kept).unwrap(), "before");
    assert!(!root.path().join("crates/probe-x").exists());
}

#[test]
fn a_new_probe_passes_clippy_and_the_testkit_and_is_known_to_the_gateway() {
    let own = std::env::current_exe().unwrap();
    // Beside this test program lie the builds of all dependencies, which need not be built again.
    let target = own.ancestors().nth(3).unwrap();
    let root = target.join("new-probe-test");
    copy_the_workspace_to(&root);
    apply(&changes(&root, "new-thing").unwrap()).unwrap();
    let mut clippy = cargo::cargo(&["clippy", "--offline", "-p", "probe-new-thing"]);
    clippy.args(["--all-targets", "--", "-D", "warnings"]);
    let mut test = cargo::cargo(&["test", "--offline", "-p", "probe-new-thing"]);
    let mut gateway = cargo::cargo(&["check", "--offline", "-p", "gateway"]);
    for command in [&mut clippy, &mut test, &mut gateway] {
        command.current_dir(&root).env("CARGO_TARGET_DIR", target);
        cargo::run(command).unwrap();
    }
}

/// All sources, with their times, so that what is unchanged since the last run is not built again.
fn copy_the_workspace_to(root: &Path) {
    if root.exists() {
        fs::remove_dir_all(root).unwrap();
    }
    fs::create_dir(root).unwrap();
    let sources = ["Cargo.toml", "Cargo.lock", "clippy.toml", "crates", "gateway", "xtask"];
    let status = Command::new("cp")
        .args(["--recursive", "--preserve=timestamps"])
        .args(sources.map(|source| stack::workspace().join(source)))
        .arg(root)
        .status();
    assert!(status.unwrap().success());
}
