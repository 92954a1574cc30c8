//! The target of a request, taken apart: the token from its path, and its query.

use percent_encoding::percent_decode_str;

/// The path before the token.
const ENDPOINT: &str = "/api/health/";

/// What a request asks for. It has no `Debug` on purpose: it holds the token.
pub(super) struct Target {
    /// The token, decoded; `None` if the path is not the endpoint's.
    pub(super) token: Option<String>,
    /// The query as it was sent, without its question mark.
    pub(super) query: String,
}

impl Target {
    /// Takes a path and a query apart. The path is decoded first, as Django does it: `%2F` separates like `/`.
    pub(super) fn read(path: &str, query: Option<&str>) -> Self {
        let path = if path.contains('%') {
            percent_decode_str(path).decode_utf8_lossy()
        } else {
            path.into()
        };
        let token = path.strip_prefix(ENDPOINT).and_then(|rest| {
            // The last slash may be missing: a departure from Django, which would redirect.
            let token = rest.strip_suffix('/').unwrap_or(rest);
            (!token.is_empty() && !token.contains('/')).then(|| token.to_owned())
        });
        Self { token, query: query.unwrap_or_default().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(path: &str) -> Option<String> {
        Target::read(path, None).token
    }

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
        fn any_path_can_be_read(path: String, query: Option<String>) {
            Target::read(&path, query.as_deref());
        }

        #[test]
        fn any_token_comes_back_as_it_was_encoded(sent in "[^/]+") {
            let all = percent_encoding::NON_ALPHANUMERIC;
            let path = format!("{ENDPOINT}{}/", percent_encoding::utf8_percent_encode(&sent, all));
            prop_assert_eq!(token(&path), Some(sent));
        }
    }
}
