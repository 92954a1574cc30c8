//! Reads secrets from key-value stores of both versions.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use probe::{Failure, Secret, Steps};
use serde_json::{Map, Value};

use crate::api::Answer;
use crate::tokens::Tokens;

const STEP: &str = "read";

/// The stores that were found so far: the path at which each is mounted, with its last slash, and its version.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Mutex<BTreeMap<String, Version>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Reads the secret at `path`, written as Vault's own command line takes it: with the mount, without the `data/` of version 2.
pub(crate) async fn read(
    tokens: &Tokens,
    mounts: &Mounts,
    steps: &Steps,
    path: &str,
) -> Result<BTreeMap<String, Secret>, Failure> {
    let path = path.trim_matches('/');
    let known = mounts.find(path);
    let found = match known {
        Some(known) => Some(known),
        None => find(tokens, mounts, steps, path).await?,
    };
    if let Some((mount, version)) = found {
        let answer = ask(tokens, steps, path, &mount, version).await?;
        if answer.status == StatusCode::NOT_FOUND {
            // The store may have got its second version meanwhile: the next read finds out.
            mounts.lock().remove(&mount);
        }
        return data(answer, path, version);
    }
    // We may not ask which store it is. Most are mounted at one name, and of the second version; both attempts only read.
    let mount = path.split_inclusive('/').next().unwrap_or_default();
    let second = ask(tokens, steps, path, mount, Version::Two).await?;
    if second.status.is_success() || !second.status.is_client_error() {
        return data(second, path, Version::Two);
    }
    let first = ask(tokens, steps, path, mount, Version::One).await?;
    if first.status.is_success() {
        data(first, path, Version::One)
    } else {
        data(second, path, Version::Two)
    }
}

/// Asks where the store of `path` is mounted and of which version it is, as Vault's own command line does; `None` if we may not know.
async fn find(
    tokens: &Tokens,
    mounts: &Mounts,
    steps: &Steps,
    path: &str,
) -> Result<Option<(String, Version)>, Failure> {
    let answer = tokens.ask(steps, STEP, &format!("sys/internal/ui/mounts/{path}")).await?;
    if matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
        return Ok(None);
    }
    let answer = answer.success(STEP)?;
    let found = &answer.body["data"];
    let Some(mount) = found["path"].as_str() else {
        return Err(Failure::msg(STEP, answer.reason()));
    };
    // Reading from any other engine may issue credentials, each time anew.
    if !matches!(found["type"].as_str(), Some("kv" | "generic" | "cubbyhole")) {
        return Err(Failure::msg(STEP, format!("`{mount}` is no key-value store")));
    }
    let version = if found["options"]["version"] == "2" { Version::Two } else { Version::One };
    mounts.lock().insert(mount.to_owned(), version);
    Ok(Some((mount.to_owned(), version)))
}

async fn ask(
    tokens: &Tokens,
    steps: &Steps,
    path: &str,
    mount: &str,
    version: Version,
) -> Result<Answer, Failure> {
    let api_path = match version {
        Version::One => path.to_owned(),
        Version::Two => format!("{mount}data/{}", path.strip_prefix(mount).unwrap_or_default()),
    };
    tokens.ask(steps, STEP, &api_path).await
}

fn data(answer: Answer, path: &str, version: Version) -> Result<BTreeMap<String, Secret>, Failure> {
    let failed = |reason: String| Err(Failure::msg(STEP, reason));
    match answer.status {
        StatusCode::FORBIDDEN => return failed(format!("permission denied for `{path}`")),
        StatusCode::NOT_FOUND => return failed(missing(&answer, path)),
        _ => {}
    }
    let answer = answer.success(STEP)?;
    let data = match version {
        Version::One => &answer.body["data"],
        Version::Two => &answer.body["data"]["data"],
    };
    match data.as_object() {
        Some(data) => Ok(secrets(data)),
        None => failed(answer.reason()),
    }
}

/// Why there is nothing: version 2 tells of a deleted secret that there was one.
fn missing(answer: &Answer, path: &str) -> String {
    let metadata = &answer.body["data"]["metadata"];
    if metadata["destroyed"] == true {
        return format!("the latest version of `{path}` was destroyed");
    }
    if metadata["deletion_time"].as_str().is_some_and(|time| !time.is_empty()) {
        return format!("the latest version of `{path}` was deleted");
    }
    format!("no secret at `{path}`")
}

fn secrets(data: &Map<String, Value>) -> BTreeMap<String, Secret> {
    let secret = |value: &Value| match value {
        Value::String(text) => Secret::new(text),
        other => Secret::new(other.to_string()),
    };
    data.iter().map(|(key, value)| (key.clone(), secret(value))).collect()
}

impl Mounts {
    fn find(&self, path: &str) -> Option<(String, Version)> {
        let mounts = self.lock();
        let longest = mounts.iter().filter(|(mount, _)| path.starts_with(*mount));
        longest
            .max_by_key(|(mount, _)| mount.len())
            .map(|(mount, version)| (mount.clone(), *version))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Version>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
