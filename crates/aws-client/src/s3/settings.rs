//! Which bucket, and what is asked of it.

use std::net::Ipv4Addr;

use probe::SharedResources;
use probe::config::Fields;

use super::Bucket;
use super::bucket::{Access, Read};
use super::canary::Leftovers;
use crate::Aws;

/// The longest key that S3 takes is 1024 bytes, our own names included.
const MAX_KEY: usize = 900;

impl Bucket {
    /// Reads `bucket`, `access`, `prefix`, `object`, `path_style` and the settings of [`Aws::read`]; what is wrong is noted.
    pub fn read(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<Self> {
        let bucket = fields.required::<String>("bucket");
        let bucket = bucket.filter(|name| {
            let fits = is_bucket(name);
            if !fits {
                let message =
                    "expected a name of 3 to 63 lower-case letters, digits, dots and dashes";
                fields.error("bucket", message);
            }
            fits
        });
        let access = access(fields);
        let prefix = key(fields, "prefix");
        let object = key(fields, "object");
        let read = access
            .as_deref()
            .zip(object.as_ref().ok())
            .and_then(|(access, object)| how_to_read(fields, access, object.clone()));
        let path_style = fields.with_default("path_style", false);
        let aws = Aws::read(fields, shared, None);
        let (bucket, access, read, prefix, aws) = (bucket?, access?, read?, prefix.ok()?, aws?);
        let config = aws_sdk_s3::config::Builder::from(aws.config()).force_path_style(path_style);
        Some(Self {
            client: aws_sdk_s3::Client::from_conf(config.build()),
            target: target(&aws, &bucket, path_style),
            aws,
            name: bucket,
            prefix: prefix.unwrap_or_default(),
            access,
            read,
            leftovers: Leftovers::default(),
        })
    }
}

/// The `host:port` of the bucket, which has a host of its own unless it stands in the path.
fn target(aws: &Aws, bucket: &str, path_style: bool) -> String {
    let server = aws.target(&format!("s3.{}", aws.region()));
    let host = server.rsplit_once(':').map_or(server.as_str(), |(host, _)| host);
    let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    // A certificate for any bucket is for none with a dot in its name.
    if path_style || is_address || bucket.contains('.') {
        return server;
    }
    format!("{bucket}.{server}")
}

/// The kinds of access in the array `access`, at least one.
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

/// What `read` reads, which must be able to tell a missing object from a missing permission.
fn how_to_read(fields: &mut Fields<'_>, access: &[Access], object: Option<String>) -> Option<Read> {
    match object {
        Some(_) if !access.contains(&Access::Read) => {
            fields.error("object", "expected only with `read` in `access`");
            None
        }
        Some(key) => Some(Read::Object(key)),
        None if !access.contains(&Access::Read) => Some(Read::Nothing),
        None if access.contains(&Access::Write) => Some(Read::Canary),
        None if access.contains(&Access::List) => Some(Read::Absent),
        None => {
            fields.error("access", "expected `object` beside `read` alone: without `list` or `write`, S3 does not tell a missing object from a missing permission");
            None
        }
    }
}

/// A key or a part of one, if it is written; the error is a mistake that is noted, or a value that is not known yet.
fn key(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<String>, ()> {
    let written = fields.has(name);
    let text: Option<String> = fields.optional(name);
    match text {
        None if written => Err(()),
        Some(text)
            if text.is_empty() || text.len() > MAX_KEY || text.contains(char::is_control) =>
        {
            fields.error(name, format!("expected 1 to {MAX_KEY} bytes without control characters"));
            Err(())
        }
        text => Ok(text),
    }
}

fn is_bucket(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.chars().all(fits)
        && !name.contains("..")
        && ends(name.chars().next())
        && ends(name.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_a_name_that_s3_takes() {
        for name in ["app-files", "a.b.c", "3d0", &"x".repeat(63)] {
            assert!(is_bucket(name), "{name}");
        }
        for name in ["", "ab", "App", "a_b", "-ab", "ab.", "a..b", "a/b", &"x".repeat(64)] {
            assert!(!is_bucket(name), "{name}");
        }
    }
}
