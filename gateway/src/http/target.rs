//! The target of a request: the token in its path, and its query.

use std::borrow::Cow;

use http::Uri;
use memchr::memchr;
use percent_encoding::percent_decode_str;

/// The endpoint's path, up to the token.
const ENDPOINT: &str = "/api/health/";

/// The URI of a request. It contains the token, so it has no `Debug`.
#[derive(Clone)]
pub(crate) struct Target(Uri);

impl From<Uri> for Target {
    fn from(uri: Uri) -> Self {
        Self(uri)
    }
}

impl Target {
    /// Returns the token, decoded, or `None` if the path is not the endpoint's.
    pub(super) fn token(&self) -> Option<Cow<'_, str>> {
        token(self.0.path())
    }

    /// Returns the path without decoding it.
    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }

    /// Returns the query without decoding it.
    pub(super) fn query(&self) -> &str {
        self.0.query().unwrap_or_default()
    }
}

/// Returns the token in a path. As in Django, the path is decoded first, so `%2F` separates segments as `/` does.
fn token(path: &str) -> Option<Cow<'_, str>> {
    if memchr(b'%', path.as_bytes()).is_some() {
        let path = percent_decode_str(path).decode_utf8_lossy();
        return segment(&path).map(|token| token.to_owned().into());
    }
    segment(path).map(Cow::Borrowed)
}

/// Returns the one segment after the endpoint's path. Django would redirect a path without the last slash, but this endpoint answers it.
fn segment(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(ENDPOINT)?;
    let segment = rest.strip_suffix('/').unwrap_or(rest);
    (!segment.is_empty() && memchr(b'/', segment.as_bytes()).is_none()).then_some(segment)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_token_is_the_segment_after_the_endpoint() {
        assert_eq!(token("/api/health/t/").as_deref(), Some("t"));
        assert_eq!(token("/api/health/t").as_deref(), Some("t"));
        assert_eq!(token("/api/health/t%C3%B6/").as_deref(), Some("tö"));
        assert_eq!(token("/api%2Fhealth/t%2F").as_deref(), Some("t"));
    }

    #[test]
    fn anything_else_is_not_the_endpoint() {
        for path in ["", "/", "*", "/api/health", "/api/health/", "/api/health//", "/API/health/t/"]
        {
            assert_eq!(token(path), None, "{path}");
        }
        for path in ["/api/health/t//", "/api/health/t/x", "/api/health//t/", "/api/health/a%2Fb/"]
        {
            assert_eq!(token(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_parsed(path: String) {
            token(&path);
        }

        #[test]
        fn an_encoded_token_is_decoded(sent in "[^/]+") {
            let all = percent_encoding::NON_ALPHANUMERIC;
            let path = format!("{ENDPOINT}{}/", percent_encoding::utf8_percent_encode(&sent, all));
            prop_assert_eq!(token(&path), Some(sent.into()));
        }
    }
}
