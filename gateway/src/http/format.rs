//! The format of a response, negotiated from the `format` parameter and `Accept`.
//!
//! The rules are those of Django REST framework, which differ from RFC 9110: `q` is ignored, more specific types go first, and JSON wins a tie.

use std::borrow::Cow;

use http::{HeaderMap, header};
use percent_encoding::percent_decode;

use super::header_list;

// Django REST framework reads no more of `Accept`.
const MAX_ACCEPT_CHARS: usize = 8192;
const MAX_MEDIA_TYPES: usize = 64;
const MAX_MEDIA_TYPE_CHARS: usize = 256;

/// The maximum indentation, as in Django REST framework.
const MAX_INDENT: usize = 8;

/// The media types of the formats, in the order of preference.
const OFFERS: [(&str, &str); 2] = [("application", "json"), ("text", "html")];

/// The format of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON, on one line if `indent` is 0.
    Json {
        /// The number of spaces for each level.
        indent: usize,
    },
    /// A page for a browser.
    Html,
}

/// Why no format is suitable for the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NegotiationError {
    /// The `format` parameter has an unknown value.
    UnknownFormat,
    /// `Accept` allows none of the formats.
    NotAcceptable,
}

/// Returns the format of the response to a request.
pub(super) fn negotiate(query: &str, headers: &HeaderMap) -> Result<Format, NegotiationError> {
    if query.is_empty() && accepts_plain_json(headers) {
        return Ok(Format::Json { indent: 0 });
    }
    let offers = match format_parameter(query).as_deref() {
        None | Some("") => &OFFERS[..],
        Some("json") => &OFFERS[..1],
        Some(_) => return Err(NegotiationError::UnknownFormat),
    };
    let accept = accept(headers);
    let accepted: Vec<_> = media_types(&accept).collect();
    for precedence in (0..=3).rev() {
        for offer in offers {
            let mut equals = accepted.iter().filter(|it| it.precedence() == precedence);
            if let Some(media_type) = equals.find(|it| it.matches(*offer)) {
                let is_json = *offer == OFFERS[0];
                let json = Format::Json { indent: media_type.indent() };
                return Ok(if is_json { json } else { Format::Html });
            }
        }
    }
    Err(NegotiationError::NotAcceptable)
}

/// Whether there is nothing to negotiate: most monitors accept anything, or JSON alone.
fn accepts_plain_json(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    let plain = |first| first == "*/*" || first == "application/json";
    accepted.next().is_none_or(plain) && accepted.next().is_none()
}

/// Returns the last `format` in a query, decoded.
fn format_parameter(query: &str) -> Option<String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned()
    };
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.rfind(|(name, _)| decode(name) == "format").map(|(_, value)| decode(value))
}

/// Returns all `Accept` headers joined, or `*/*` if there is none.
fn accept(headers: &HeaderMap) -> String {
    let values: Vec<_> = headers.get_all(header::ACCEPT).iter().collect();
    if values.is_empty() {
        return "*/*".to_owned();
    }
    // Python's servers decode header values as Latin-1.
    let latin_1 =
        |value: &&http::HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
    values.iter().map(latin_1).collect::<Vec<String>>().join(",")
}

/// Returns the media types in a list, without those beyond the limits.
fn media_types(accept: &str) -> impl Iterator<Item = MediaType<'_>> {
    let end = accept.char_indices().nth(MAX_ACCEPT_CHARS).map_or(accept.len(), |(end, _)| end);
    // The prefix of a type that is cut off must not be read as a type.
    let end = if end == accept.len() { end } else { accept[..end].rfind(',').unwrap_or(0) };
    accept[..end]
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty() && text.chars().count() <= MAX_MEDIA_TYPE_CHARS)
        .take(MAX_MEDIA_TYPES)
        .map(MediaType::parse)
}

/// One media type of `Accept`, such as `application/json; indent=4`.
struct MediaType<'a> {
    kind: String,
    subtype: String,
    parameters: Vec<(String, Cow<'a, str>)>,
}

impl<'a> MediaType<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = header_list::split(text, ';');
        let name = parts.next().unwrap_or_default().to_lowercase();
        let (kind, subtype) = name.split_once('/').unwrap_or((&name, ""));
        let parameter = |part: &'a str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.trim().to_lowercase(), header_list::unquote(value.trim()))
        };
        let parameters = parts.map(parameter).filter(|(name, _)| !name.is_empty()).collect();
        Self { kind: kind.to_owned(), subtype: subtype.to_owned(), parameters }
    }

    /// Returns how specific the type is, from 0 for `*/*` to 3 for a type with parameters.
    fn precedence(&self) -> u8 {
        match (self.kind.as_str(), self.subtype.as_str()) {
            ("*", _) => 0,
            (_, "*") => 1,
            _ if self.parameters.iter().all(|(name, _)| name == "q") => 2,
            _ => 3,
        }
    }

    fn matches(&self, (kind, subtype): (&str, &str)) -> bool {
        (self.kind == "*" || self.kind == kind) && (self.subtype == "*" || self.subtype == subtype)
    }

    /// Returns the value of the parameter `indent`, or 0.
    fn indent(&self) -> usize {
        let parameter = self.parameters.iter().rfind(|(name, _)| name == "indent");
        parameter.and_then(|(_, value)| indentation(value)).unwrap_or(0)
    }
}

/// Parses a number as Python's `int` does, which allows spaces around it, a sign and single underscores.
fn indentation(text: &str) -> Option<usize> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let groups = digits.split('_');
    let number = groups
        .clone()
        .all(|group| !group.is_empty() && group.bytes().all(|digit| digit.is_ascii_digit()));
    let value = groups.flat_map(str::bytes).fold(0_usize, |value, digit| {
        value.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')))
    });
    number.then_some(if negative { 0 } else { value.min(MAX_INDENT) })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const JSON: Result<Format, NegotiationError> = Ok(Format::Json { indent: 0 });

    fn negotiated(query: &str, accept: &[&str]) -> Result<Format, NegotiationError> {
        let values = accept.iter().map(|value| HeaderValue::from_bytes(value.as_bytes()));
        let headers = values.map(|value| (header::ACCEPT, value.expect("a header"))).collect();
        negotiate(query, &headers)
    }

    // `tests/it/contract/recorded.rs` compares several hundred requests with Django REST framework.

    #[test]
    fn json_is_the_default() {
        assert_eq!(negotiated("", &[]), JSON);
        assert_eq!(negotiated("", &["*/*"]), JSON);
        assert_eq!(negotiated("", &["application/json"]), JSON);
        assert_eq!(negotiated("", &["text/html, application/json;q=0"]), JSON);
    }

    #[test]
    fn a_browser_gets_a_page_unless_its_query_names_json() {
        let browser = ["text/html,application/xhtml+xml,*/*;q=0.8"];
        assert_eq!(negotiated("", &browser), Ok(Format::Html));
        assert_eq!(negotiated("format=json", &browser), JSON);
    }

    #[test]
    fn an_unknown_format_is_refused_before_accept_is_read() {
        assert_eq!(negotiated("format=xml", &["image/png"]), Err(NegotiationError::UnknownFormat));
        assert_eq!(negotiated("format=json", &["image/png"]), Err(NegotiationError::NotAcceptable));
    }

    #[test]
    fn an_indentation_is_parsed_like_a_python_number() {
        for (text, expected) in [
            ("4", Some(4)),
            (" +0_7 ", Some(7)),
            ("-3", Some(0)),
            ("99999999999999999999", Some(8)),
        ] {
            assert_eq!(indentation(text), expected, "{text}");
        }
        for text in ["", "-", "x", "4.0", "_4", "4_", "4__4", "+-4", "²"] {
            assert_eq!(indentation(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_request_has_a_format_or_an_error(query: String, accept: Vec<Vec<u8>>) {
            let values = accept.iter().filter_map(|value| HeaderValue::from_bytes(value).ok());
            let headers = values.map(|value| (header::ACCEPT, value)).collect();
            let too_deep = matches!(negotiate(&query, &headers), Ok(Format::Json { indent: 9.. }));
            prop_assert!(!too_deep);
        }

        #[test]
        fn any_list_like_media_types_is_parsed(
            accept in r#"([*/;,="\\q0-9 -]|json|html|text|application|indent){0,200}"#
        ) {
            prop_assert_ne!(negotiated("", &[&accept]), Err(NegotiationError::UnknownFormat));
        }
    }
}
