//! The target of a request, taken apart: the token from its path, and its query.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::percent_decode_str;

/// The path before the token.
const ENDPOINT: &str = "/api/health/";

/// What a request asks for, as it was sent. It has no `Debug` on purpose: it holds the token.
pub(super) struct Target(Uri);

impl From<Uri> for Target {
    fn from(uri: Uri) -> Self {
        Self(uri)
    }
}

impl Target {
    /// The token, decoded; `None` if the path is not the endpoint's.
    pub(super) fn token(&self) -> Option<Cow<'_, str>> {
        token(self.0.path())
    }

    /// The query as it was sent, without its question mark.
    pub(super) fn query(&self) -> &str {
        self.0.query().unwrap_or_default()
    }
}

/// The token in a path, which is decoded first, as Django does it: `%2F` separates like `/`.
fn token(path: &str) -> Option<Cow<'_, str>> {
    if path.contains('%') {
        let path = percent_decode_str(path).decode_utf8_lossy();
        return segment(&path).map(|token| token.to_owned().into());
    }
    segment(path).map(Cow::Borrowed)
}

/// The one segment after the endpoint's path. The last slash may be missing: a departure from Django, which would redirect.
fn segment(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(ENDPOINT)?;
    let segment = rest.strip_suffix('/').unwrap_or(rest);
    (!segment.is_empty() && !segment.contains('/')).then_some(segment)
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
        fn any_path_can_be_read(path: String) {
            token(&path);
        }

        #[test]
        fn any_token_comes_back_as_it_was_encoded(sent in "[^/]+") {
            let all = percent_encoding::NON_ALPHANUMERIC;
            let path = format!("{ENDPOINT}{}/", percent_encoding::utf8_percent_encode(&sent, all));
            prop_assert_eq!(token(&path), Some(sent.into()));
        }
    }
}
