//! The permissions that Vault must grant, written as a policy.
//!
//! Syntax: <https://developer.hashicorp.com/vault/docs/concepts/policies>. Paths: <https://developer.hashicorp.com/vault/docs/secrets/kv/kv-v2/setup#acl-rules>.

use std::collections::BTreeSet;

use probe::{Grant, GrantDialect, Principal};

use crate::Session;
use crate::login::Login;

static VAULT: GrantDialect = GrantDialect { name: "Vault", write };

/// The permissions that come from Vault's `default` policy, and the assumption about the paths.
const HEADER: &str = "\
# The policy `default` of Vault allows the token to look itself up, to renew and to revoke itself.
# The paths assume stores of version 2, mounted at the first segment; version 1 has no `data/`.
";

impl Session {
    /// The permissions to read the secrets at `paths`. A token may discover every store that it may read.
    pub fn grants<'a>(&self, paths: impl IntoIterator<Item = &'a String>) -> Vec<Grant> {
        let name = match self.login() {
            Login::Token(_) => "the token of the configuration".to_owned(),
            Login::AppRole { mount, .. } => format!("the AppRole at auth/{mount}"),
            Login::Kubernetes { mount, role, .. } => format!("the role {role} at auth/{mount}"),
        };
        let server = match self.namespace() {
            "" => self.target().to_owned(),
            namespace => format!("{} in the namespace {namespace}", self.target()),
        };
        let principal = Principal::new(&VAULT, server, name).distinguished_by(self.identity());
        paths.into_iter().map(|path| principal.needs([&data_path(path)])).collect()
    }
}

/// The API path of a secret in a store of version 2 that is mounted at the first segment.
fn data_path(path: &str) -> String {
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
    [HEADER.to_owned()].into_iter().chain(paths).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_has_a_rule_for_its_path() {
        let paths = ["secret/db", "teams/a/db", "alone"].map(|path| vec![data_path(path)]);
        let policy = write("", &paths.into());
        let (header, rules) = policy.split_at(HEADER.len());
        assert_eq!(header, HEADER);
        let rule = |path| format!("path \"{path}\" {{\n  capabilities = [\"read\"]\n}}\n");
        assert_eq!(rules, ["alone", "secret/data/db", "teams/data/a/db"].map(rule).concat());
    }
}
