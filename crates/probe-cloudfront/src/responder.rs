//! Describes which server sent a response: the edge, its cache, or the origin.

use http::{HeaderMap, StatusCode};

/// Describes which server sent the response, and what a status of the edge itself means.
pub(crate) fn describe(status: StatusCode, headers: &HeaderMap) -> String {
    let status = status.as_u16();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let cache = text("x-cache").to_ascii_lowercase();
    let is_cloudfront = cache.ends_with("from cloudfront")
        || text("via").contains("(CloudFront)")
        || headers.contains_key("x-amz-cf-id");
    if !is_cloudfront {
        return format!("a server that does not identify itself as CloudFront answered {status}");
    }
    if text("server") == "CloudFront" && cache.starts_with("error") {
        return match meaning(status) {
            Some(meaning) => format!("the edge answered {status}: {meaning}"),
            None => format!("the edge answered {status}"),
        };
    }
    if cache.starts_with("hit") || cache.starts_with("refreshhit") {
        return format!("the edge answered {status} from its cache");
    }
    if cache.contains("generated") {
        return format!("a function at the edge answered {status}");
    }
    match status {
        403 => "the origin answered 403: the object is missing there, or the edge may not read it"
            .to_owned(),
        404 => "the origin answered 404: the object is missing there".to_owned(),
        status => format!("the origin answered {status}"),
    }
}

/// The meaning of a status that the edge itself responds with.
fn meaning(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "it rejects the request as malformed",
        403 => {
            "it does not serve this domain, or its firewall, a geographic restriction or a missing signature blocks the request"
        }
        502 => "the origin could not be connected to, or its certificate is wrong",
        503 => "a function failed, or the edge or the origin is overloaded",
        504 => "the origin did not answer in time",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(status: u16, headers: &[(&'static str, &'static str)], expected: &str) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        assert_eq!(describe(status, &map), expected);
    }

    #[test]
    fn the_edge_the_cache_and_the_origin_are_distinguished() {
        const ERROR: (&str, &str) = ("x-cache", "Error from cloudfront");
        check(
            504,
            &[ERROR, ("server", "CloudFront")],
            "the edge answered 504: the origin did not answer in time",
        );
        check(431, &[ERROR, ("server", "CloudFront")], "the edge answered 431");
        check(
            404,
            &[ERROR, ("server", "AmazonS3")],
            "the origin answered 404: the object is missing there",
        );
        check(500, &[ERROR], "the origin answered 500");
        check(301, &[("x-cache", "Hit from cloudfront")], "the edge answered 301 from its cache");
        check(302, &[("x-cache", "Miss from cloudfront")], "the origin answered 302");
        check(
            302,
            &[("x-cache", "FunctionGeneratedResponse from cloudfront")],
            "a function at the edge answered 302",
        );
        check(
            404,
            &[("server", "nginx")],
            "a server that does not identify itself as CloudFront answered 404",
        );
    }
}
