//! Reads the headers `Cache-Control`, `Pragma`, `Prefer` and `Authorization`.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use super::header_list;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Whether the request forbids stored results: by `Cache-Control: no-cache` or `max-age=0`, or without that header by `Pragma: no-cache`.
pub(super) fn fresh(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::CACHE_CONTROL) {
        return items(headers, &header::PRAGMA).any(|item| is(item, "no-cache"));
    }
    items(headers, &header::CACHE_CONTROL).any(|item| {
        is(item, "no-cache")
            || is(item, "max-age")
                && value(item).is_some_and(|age| !age.is_empty() && age.bytes().all(|b| b == b'0'))
    })
}

/// Returns how long the caller waits: `Prefer: wait=SECONDS`, RFC 7240.
///
/// The first `wait` counts. If it is not a number, there is no limit.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let preference = items(headers, &PREFER).find(|item| is(item, "wait"))?;
    let seconds = value(preference)?;
    let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large has the effect of no limit.
    digits.then(|| Duration::from_secs(seconds.parse::<u32>().unwrap_or(u32::MAX).into()))
}

/// Returns the credential of `Authorization: JWT <credential>`.
///
/// Several headers are joined, as Django's servers do, so that all of them count.
pub(super) fn credential(headers: &HeaderMap) -> Option<Vec<u8>> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return None;
    }
    let values = headers.get_all(header::AUTHORIZATION);
    let joined = values.iter().map(http::HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..]);
    let trimmed = joined.trim_ascii();
    let end = trimmed.iter().position(u8::is_ascii_whitespace).unwrap_or(trimmed.len());
    let (scheme, credential) = trimmed.split_at(end);
    scheme.eq_ignore_ascii_case(b"JWT").then(|| credential.trim_ascii().to_vec())
}

/// Returns the items of a header that is a list, over all its lines. Lines that are not ASCII are skipped.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| header_list::split(line, ','))
}

/// Whether an item has this name, with or without a value and parameters.
fn is(item: &str, name: &str) -> bool {
    let end = item.find(['=', ';']).unwrap_or(item.len());
    item[..end].trim().eq_ignore_ascii_case(name)
}

/// Returns an item's value, without quotes and parameters.
fn value(item: &str) -> Option<Cow<'_, str>> {
    let (_, value) = header_list::split(item, ';').next()?.split_once('=')?;
    Some(header_list::unquote(value.trim()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
            (HeaderName::from_static(name), value)
        };
        lines.iter().map(line).collect()
    }

    fn check_fresh(lines: &[(&'static str, &str)], expected: bool) {
        assert_eq!(fresh(&headers(lines)), expected, "{lines:?}");
    }

    fn check_wait(lines: &[&str], expected: Option<u64>) {
        let lines: Vec<_> = lines.iter().map(|line| ("prefer", *line)).collect();
        assert_eq!(wait(&headers(&lines)), expected.map(Duration::from_secs), "{lines:?}");
    }

    fn check_credential(lines: &[&str], expected: Option<&str>) {
        let lines: Vec<_> = lines.iter().map(|line| ("authorization", *line)).collect();
        assert_eq!(
            credential(&headers(&lines)).as_deref(),
            expected.map(str::as_bytes),
            "{lines:?}"
        );
    }

    #[test]
    fn no_cache_requires_a_fresh_report() {
        check_fresh(&[], false);
        check_fresh(&[("cache-control", "no-cache")], true);
        check_fresh(&[("cache-control", "No-Cache")], true);
        check_fresh(&[("cache-control", "max-stale=5 , no-cache=\"x\"")], true);
        check_fresh(&[("cache-control", "no-transform"), ("cache-control", "no-cache")], true);
        check_fresh(&[("cache-control", "max-age=0")], true);
        check_fresh(&[("cache-control", "max-age=\"0\"")], true);
        check_fresh(&[("cache-control", "max-age=1")], false);
        check_fresh(&[("cache-control", "max-age=")], false);
        check_fresh(&[("cache-control", "x=\", no-cache\"")], false);
        check_fresh(&[("cache-control", "x-no-cache")], false);
    }

    #[test]
    fn pragma_counts_only_without_cache_control() {
        check_fresh(&[("pragma", "no-cache")], true);
        check_fresh(&[("pragma", "no-cache"), ("cache-control", "max-age=60")], false);
    }

    #[test]
    fn the_first_wait_counts() {
        check_wait(&[], None);
        check_wait(&["wait=3"], Some(3));
        check_wait(&["respond-async, WAIT = 3; x=\"a,wait=9\"", "wait=5"], Some(3));
        check_wait(&["x=\"wait=9\", wait=\"5\""], Some(5));
        check_wait(&["", "handling=lenient", "wait=007"], Some(7));
        check_wait(&["wait=99999999999999999999"], Some(u32::MAX.into()));
    }

    #[test]
    fn a_wait_that_is_not_a_number_is_ignored() {
        for wrong in [
            "wait",
            "wait=",
            "wait=x, wait=5",
            "wait=-1",
            "wait=+1",
            "wait=1.5",
            "wait=\"",
            "waits=1",
        ] {
            check_wait(&[wrong], None);
        }
    }

    #[test]
    fn only_the_scheme_jwt_has_a_credential() {
        check_credential(&[], None);
        check_credential(&["Bearer x"], None);
        check_credential(&["JWTx y"], None);
        check_credential(&["JWT x"], Some("x"));
        check_credential(&["jwt \t x"], Some("x"));
        check_credential(&["JWT"], Some(""));
        check_credential(&["JWT x y"], Some("x y"));
        check_credential(&["JWT x", "JWT y"], Some("x,JWT y"));
        check_credential(&["JWT tökén"], Some("tökén"));
    }

    proptest! {
        #[test]
        fn any_header_is_parsed(lines: Vec<(bool, Vec<u8>)>) {
            let line = |(prefer, value): &(bool, Vec<u8>)| {
                let name = if *prefer { PREFER } else { header::CACHE_CONTROL };
                HeaderValue::from_bytes(value).ok().map(|value| (name, value))
            };
            let headers = lines.iter().filter_map(line).collect();
            fresh(&headers);
            wait(&headers);
            credential(&headers);
        }
    }
}
