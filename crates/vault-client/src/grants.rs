//! What Vault must grant, as a policy.
//!
//! The syntax: <https://developer.hashicorp.com/vault/docs/concepts/policies>. The paths: <https://developer.hashicorp.com/vault/docs/secrets/kv/kv-v2/setup#acl-rules>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};

use crate::Session;
use crate::login::Login;

static VAULT: GrantDialect = GrantDialect { name: "Vault", write };

/// What every token may do by the policy that it has unless that was refused, and the one thing about the paths that Vault alone knows.
const REMARKS: &str = "\
# To look itself up, to renew and to revoke itself, the token needs Vault's policy `default`.
# The paths are those of a store of version 2, mounted at their first part; version 1 has no `data/`.
";

impl Session {
    /// What it takes to read the secrets at `paths`. In which store they are, anybody may ask who may read there.
    pub fn grants<'a>(&self, paths: impl IntoIterator<Item = &'a String>) -> Vec<Grant> {
        let who = match self.login() {
            Login::Token(_) => "the token of the configuration".to_owned(),
            Login::AppRole { mount, .. } => format!("the AppRole at auth/{mount}"),
            Login::Kubernetes { mount, role, .. } => format!("the role {role} at auth/{mount}"),
        };
        let server = match self.namespace() {
            "" => self.target().to_owned(),
            namespace => format!("{} in the namespace {namespace}", self.target()),
        };
        let principal = Principal::new(&VAULT, server, who).distinguished_by(self.identity());
        paths.into_iter().map(|path| principal.needs([&with_data(path)])).collect()
    }
}

/// The path in the API of a store that is mounted at its first part.
fn with_data(path: &str) -> String {
    match path.split_once('/') {
        Some((mount, rest)) => format!("{mount}/data/{rest}"),
        None => path.to_owned(),
    }
}

fn write(_: &str, permissions: &BTreeSet<Vec<String>>) -> String {
    let paths = permissions.iter().flatten().map(|path| {
        let path = path.replace('\\', r"\\").replace('"', "\\\"");
        format!("path \"{path}\" {{\n  capabilities = [\"read\"]\n}}\n")
    });
    [REMARKS.to_owned()].into_iter().chain(paths).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_has_its_path() {
        let paths = ["secret/db", "teams/a/db", "alone"].map(|path| vec![with_data(path)]);
        let policy = write("", &paths.into());
        let (remarks, rules) = policy.split_at(REMARKS.len());
        assert_eq!(remarks, REMARKS);
        let rule = |path| format!("path \"{path}\" {{\n  capabilities = [\"read\"]\n}}\n");
        assert_eq!(rules, ["alone", "secret/data/db", "teams/data/a/db"].map(rule).concat());
    }
}
