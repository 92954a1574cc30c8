//! The settings of a bucket.

use std::net::Ipv4Addr;

use probe::config::{Fields, Url};
use probe::{Secret, SharedResources};

use super::bucket::{Access, Bucket, ReadSource};
use super::checksums::Checksums;
use super::pending_deletes::PendingDeletes;
use super::request_settings::RequestSettings;
use crate::AwsContext;

/// The longest configured key. S3 allows 1024 bytes, which include the canary's own name.
const MAX_KEY: usize = 900;

impl Bucket {
    /// Reads `bucket`, `access`, `prefix`, `object`, `path_style`, the settings of requests and checksums, and those of [`AwsContext::read`]. Errors are reported in `fields`.
    pub fn read(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<Self> {
        let bucket = fields.required::<String>("bucket");
        let bucket = bucket.filter(|name| {
            let is_valid = is_bucket_name(name);
            if !is_valid {
                let message =
                    "expected a name of 3 to 63 lower-case letters, digits, dots and dashes, or the alias of an access point, but no ARN, path or URL";
                fields.error("bucket", message);
            }
            is_valid
        });
        let access = access(fields);
        let prefix = key(fields, "prefix");
        let object = key(fields, "object");
        let read_source = access
            .as_deref()
            .zip(object.as_ref().ok())
            .and_then(|(access, object)| read_source(fields, access, object.clone()));
        let requests = RequestSettings::read(fields, access.as_deref());
        let path_style = fields.with_default("path_style", false);
        let checksums = Checksums::read(fields);
        let aws = AwsContext::read(fields, shared, None);
        let (bucket, access, read_source, prefix, checksums, aws) =
            (bucket?, access?, read_source?, prefix.ok()?, checksums?, aws?);
        if let Some(url) = aws.endpoint.as_ref().filter(|url| names_bucket(url, &bucket)) {
            let hint = if url.path() == "/" {
                ""
            } else {
                ", and `path_style = true` to have it in the path"
            };
            let message = format!("expected a URL without the bucket, which is added to it{hint}");
            fields.error("endpoint_url", message);
            return None;
        }
        let config = aws_sdk_s3::config::Builder::from(aws.config()).force_path_style(path_style);
        let (target, prefix) = (target(&aws, &bucket, path_style), prefix.unwrap_or_default());
        // The identity excludes the credentials, which may be rotated before a canary is deleted.
        let identity = Secret::unmasked(format!("{target} {bucket} {prefix}"));
        Some(Self {
            client: aws_sdk_s3::Client::from_conf(checksums.apply(config).build()),
            target,
            aws,
            name: bucket,
            prefix,
            access,
            read_source,
            requests,
            pending_deletes: shared.get_or_insert(&identity, PendingDeletes::default),
            cleanups: shared.cleanups().clone(),
        })
    }
}

/// Whether the host or the path of an endpoint names the bucket already.
fn names_bucket(endpoint: &Url, bucket: &str) -> bool {
    let in_host = endpoint.host().strip_prefix(bucket).is_some_and(|rest| rest.starts_with('.'));
    in_host || endpoint.path().trim_end_matches('/').rsplit('/').next() == Some(bucket)
}

/// The `host:port` of the bucket. Its name is a part of the host unless it is a part of the path.
fn target(aws: &AwsContext, bucket: &str, path_style: bool) -> String {
    let server = aws.target(&format!("s3.{}", aws.region()));
    let host = server.rsplit_once(':').map_or(server.as_str(), |(host, _)| host);
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    // A wildcard certificate does not cover names with dots.
    if path_style || is_address || bucket.contains('.') {
        return server;
    }
    format!("{bucket}.{server}")
}

/// Reads the array `access`, which must not be empty.
fn access(fields: &mut Fields<'_>) -> Option<Vec<Access>> {
    let words: Vec<String> = fields.required("access")?;
    let kind = |word: &String| match word.as_str() {
        "list" => Some(Access::List),
        "read" => Some(Access::Read),
        "write" => Some(Access::Write),
        "delete" => Some(Access::Delete),
        _ => None,
    };
    let access = words.iter().map(kind).collect::<Option<Vec<_>>>();
    let access = access.filter(|access| !access.is_empty());
    if access.is_none() {
        fields.error("access", "expected one or more of `list`, `read`, `write` and `delete`");
    }
    access
}

/// Chooses the object to read, so that a missing object is distinguished from a missing permission.
fn read_source(
    fields: &mut Fields<'_>,
    access: &[Access],
    object: Option<String>,
) -> Option<ReadSource> {
    match object {
        Some(_) if !access.contains(&Access::Read) => {
            fields.error("object", "expected only with `read` in `access`");
            None
        }
        Some(key) => Some(ReadSource::Object(key)),
        None if !access.contains(&Access::Read) => Some(ReadSource::None),
        None if access.contains(&Access::Write) => Some(ReadSource::Canary),
        None if access.contains(&Access::List) => Some(ReadSource::Absent),
        None => {
            fields.error("access", "expected `object` beside `read` alone: without `list` or `write`, S3 does not distinguish a missing object from a missing permission");
            None
        }
    }
}

/// Reads a key or a prefix, if one is configured. Returns `Err` if it is wrong or not known yet.
fn key(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<String>, ()> {
    let is_configured = fields.has(name);
    let text: Option<String> = fields.optional(name);
    match text {
        None if is_configured => Err(()),
        Some(text)
            if text.is_empty() || text.len() > MAX_KEY || text.contains(char::is_control) =>
        {
            fields.error(name, format!("expected 1 to {MAX_KEY} bytes without control characters"));
            Err(())
        }
        text => Ok(text),
    }
}

fn is_bucket_name(name: &str) -> bool {
    let is_allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.chars().all(is_allowed)
        && !name.contains("..")
        && is_edge(name.chars().next())
        && is_edge(name.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules_of_s3() {
        for name in ["app-files", "a.b.c", "3d0", &"x".repeat(63)] {
            assert!(is_bucket_name(name), "{name}");
        }
        for name in ["", "ab", "App", "a_b", "-ab", "ab.", "a..b", "a/b", &"x".repeat(64)] {
            assert!(!is_bucket_name(name), "{name}");
        }
    }
}
