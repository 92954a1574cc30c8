//! Reads secrets from Vault's key-value stores, versions 1 and 2.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;
use probe::{Failure, Secret, Steps};
use serde_json::{Map, Value};

use crate::api::ApiResponse;
use crate::token_manager::TokenManager;

pub(crate) const STEP: &str = "read";

const DENIED: &str = "permission denied";
const LATEST: &str = "the latest version of";
const MISSING: &str = "no secret at";
/// The beginnings of the causes for a secret that may not be read or does not exist.
const REFUSALS: [&str; 3] = [DENIED, LATEST, MISSING];

/// The key-value stores discovered so far: mount path, with a trailing slash, to version.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Mutex<BTreeMap<String, KvVersion>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KvVersion {
    One,
    Two,
}

/// Reads the secret at `path`, in the form that `vault kv get` takes: with the mount, without the `data/` of version 2.
pub(crate) async fn read(
    tokens: &Arc<TokenManager>,
    mounts: &Mounts,
    steps: &Steps,
    path: &str,
) -> Result<BTreeMap<String, Secret>, Failure> {
    let path = path.trim_matches('/');
    let store = match mounts.find(path) {
        Some(cached) => Some(cached),
        None => discover_mount(tokens, mounts, steps, path).await?,
    };
    let Some((mount, version)) = store else {
        return read_undiscovered(tokens, steps, path).await;
    };
    let response = get(tokens, steps, path, &mount, version).await?;
    if response.status == StatusCode::NOT_FOUND {
        // The store may have been upgraded to version 2: the next read discovers it again.
        mounts.0.lock().remove(&mount);
    }
    parse(response, path, version)
}

/// Reads from a store that the token may not discover.
///
/// Its mount is assumed to be the first segment of the path. Version 2 is more common, so it is tried first; both attempts only read.
async fn read_undiscovered(
    tokens: &Arc<TokenManager>,
    steps: &Steps,
    path: &str,
) -> Result<BTreeMap<String, Secret>, Failure> {
    let mount = path.split_inclusive('/').next().unwrap_or_default();
    let v2 = get(tokens, steps, path, mount, KvVersion::Two).await?;
    if v2.status.is_success() || !v2.status.is_client_error() {
        return parse(v2, path, KvVersion::Two);
    }
    let v1 = get(tokens, steps, path, mount, KvVersion::One).await?;
    if v1.status.is_success() {
        parse(v1, path, KvVersion::One)
    } else {
        parse(v2, path, KvVersion::Two)
    }
}

/// Requests the mount and the version of the store of `path`, as `vault kv get` does. Returns `None` if the token may not discover them.
async fn discover_mount(
    tokens: &Arc<TokenManager>,
    mounts: &Mounts,
    steps: &Steps,
    path: &str,
) -> Result<Option<(String, KvVersion)>, Failure> {
    let response = tokens.get(steps, STEP, &format!("sys/internal/ui/mounts/{path}")).await?;
    if matches!(response.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
        return Ok(None);
    }
    let response = response.into_success(STEP)?;
    let data = &response.body["data"];
    let Some(mount) = data["path"].as_str() else {
        return Err(Failure::msg(STEP, response.error_text()));
    };
    // A read from any other engine may issue new credentials each time.
    if !matches!(data["type"].as_str(), Some("kv" | "generic" | "cubbyhole")) {
        return Err(Failure::msg(STEP, format!("`{mount}` is not a key-value store")));
    }
    let version = if data["options"]["version"] == "2" { KvVersion::Two } else { KvVersion::One };
    mounts.0.lock().insert(mount.to_owned(), version);
    Ok(Some((mount.to_owned(), version)))
}

async fn get(
    tokens: &Arc<TokenManager>,
    steps: &Steps,
    path: &str,
    mount: &str,
    version: KvVersion,
) -> Result<ApiResponse, Failure> {
    let api_path = match version {
        KvVersion::One => path.to_owned(),
        KvVersion::Two => format!("{mount}data/{}", path.strip_prefix(mount).unwrap_or_default()),
    };
    tokens.get(steps, STEP, &api_path).await
}

pub(crate) fn parse(
    response: ApiResponse,
    path: &str,
    version: KvVersion,
) -> Result<BTreeMap<String, Secret>, Failure> {
    let failed = |reason: String| Err(Failure::msg(STEP, reason));
    match response.status {
        StatusCode::FORBIDDEN => return failed(format!("{DENIED} for `{path}`")),
        StatusCode::NOT_FOUND => return failed(missing(&response, path)),
        _ => {}
    }
    let response = response.into_success(STEP)?;
    let data = match version {
        KvVersion::One => &response.body["data"],
        KvVersion::Two => &response.body["data"]["data"],
    };
    match data.as_object() {
        Some(data) => Ok(secrets(data)),
        None => failed(response.error_text()),
    }
}

/// Whether Vault answered that the secret may not be read or does not exist, as opposed to not answering.
pub(crate) fn is_refusal(failure: &Failure) -> bool {
    failure.step() == STEP && REFUSALS.iter().any(|text| failure.cause().text().starts_with(text))
}

/// Why there is no secret: version 2 keeps the metadata of deleted secrets.
fn missing(response: &ApiResponse, path: &str) -> String {
    let metadata = &response.body["data"]["metadata"];
    if metadata["destroyed"] == true {
        return format!("{LATEST} `{path}` was destroyed");
    }
    if metadata["deletion_time"].as_str().is_some_and(|time| !time.is_empty()) {
        return format!("{LATEST} `{path}` was deleted");
    }
    format!("{MISSING} `{path}`")
}

/// Not all values beside a password are secrets, so each is masked only once it is used as one.
fn secrets(data: &Map<String, Value>) -> BTreeMap<String, Secret> {
    let secret = |value: &Value| match value {
        Value::String(text) => Secret::unmasked(text),
        other => Secret::unmasked(other.to_string()),
    };
    data.iter().map(|(key, value)| (key.clone(), secret(value))).collect()
}

impl Mounts {
    /// The known store with the longest mount path that is a prefix of `path`.
    fn find(&self, path: &str) -> Option<(String, KvVersion)> {
        let mounts = self.0.lock();
        let matching = mounts.iter().filter(|(mount, _)| path.starts_with(*mount));
        let longest = matching.max_by_key(|(mount, _)| mount.len());
        longest.map(|(mount, version)| (mount.clone(), *version))
    }
}
