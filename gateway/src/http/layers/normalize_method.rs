//! Writes a request's method in upper case, as Django does.

use http::{Method, Request};

/// Replaces a method that has lower-case letters.
pub(super) fn normalize_method(mut request: Request<()>) -> Request<()> {
    let method = request.method().as_str();
    if method.bytes().any(|byte| byte.is_ascii_lowercase())
        && let Ok(upper) = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
    {
        *request.method_mut() = upper;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_in_upper_case() {
        for (sent, expected) in
            [("GET", "GET"), ("get", "GET"), ("Head", "HEAD"), ("m-search", "M-SEARCH")]
        {
            let request = Request::builder().method(sent).body(()).expect("a valid method");
            assert_eq!(normalize_method(request).method(), expected);
        }
        let request = normalize_method(Request::builder().method("gEt").body(()).expect("valid"));
        assert_eq!(request.method(), Method::GET);
    }
}
