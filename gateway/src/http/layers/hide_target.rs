//! Removes the target, and with it the token, from a request's URI.

use http::Request;

use crate::http::target::Target;

/// Moves the URI, which many libraries log, into an extension that cannot be printed.
pub(super) fn hide_target(mut request: Request<()>) -> Request<()> {
    let uri = std::mem::take(request.uri_mut());
    request.extensions_mut().insert(Target::from(uri));
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::layers::extension;

    #[test]
    fn a_printed_request_does_not_show_the_token() {
        let request = Request::get("/api/health/the-token/?format=json").body(()).expect("valid");
        let request = hide_target(request);
        assert_eq!(extension::<Target>(&request).query(), "format=json");
        assert!(!format!("{request:?}").contains("the-token"));
    }
}
