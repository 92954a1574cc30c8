//! Which format an answer has: the `format` parameter, then `Accept`, judged as Django REST framework does.
//!
//! That is not quite RFC 9110: `q` counts for nothing, more specific types go first, and between equals JSON wins.

use std::borrow::Cow;

use http::{HeaderMap, header};
use percent_encoding::percent_decode;

use super::header_list;

/// What Django REST framework reads of `Accept`, in characters, in types, and in characters of one type.
const LONGEST_ACCEPT: usize = 8192;
const MOST_TYPES: usize = 64;
const LONGEST_TYPE: usize = 256;

/// The deepest indentation that can be asked for.
const DEEPEST: usize = 8;

/// What an answer can be written as, in the order of preference.
const OFFERS: [(&str, &str); 2] = [("application", "json"), ("text", "html")];

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON, indented by so many spaces; on one line if it is 0.
    Json {
        /// The number of spaces.
        indent: usize,
    },
    /// A page for people.
    Html,
}

/// Why there is no format to answer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The `format` parameter names none that we know.
    UnknownFormat,
    /// `Accept` allows none that we have.
    NotAcceptable,
}

/// Finds the format for a request.
pub(super) fn negotiate(query: &str, headers: &HeaderMap) -> Result<Format, Refusal> {
    if query.is_empty() && takes_plain_json(headers) {
        return Ok(Format::Json { indent: 0 });
    }
    let offers = match format_parameter(query).as_deref() {
        None | Some("") => &OFFERS[..],
        Some("json") => &OFFERS[..1],
        Some(_) => return Err(Refusal::UnknownFormat),
    };
    let accept = accept(headers);
    let accepted: Vec<_> = media_types(&accept).collect();
    for precedence in (0..=3).rev() {
        for offer in offers {
            let mut equals = accepted.iter().filter(|accepted| accepted.precedence() == precedence);
            if let Some(found) = equals.find(|accepted| accepted.matches(*offer)) {
                let json = *offer == OFFERS[0];
                return Ok(if json {
                    Format::Json { indent: found.indent() }
                } else {
                    Format::Html
                });
            }
        }
    }
    Err(Refusal::NotAcceptable)
}

/// Whether there is nothing to negotiate, as for most monitors: they take anything, or JSON alone.
fn takes_plain_json(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    let plain = |first| first == "*/*" || first == "application/json";
    accepted.next().is_none_or(plain) && accepted.next().is_none()
}

/// The last `format` in a query, decoded.
fn format_parameter(query: &str) -> Option<String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned()
    };
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.rfind(|(name, _)| decode(name) == "format").map(|(_, value)| decode(value))
}

/// All `Accept` headers as one; without any, everything is accepted.
fn accept(headers: &HeaderMap) -> String {
    let values: Vec<_> = headers.get_all(header::ACCEPT).iter().collect();
    if values.is_empty() {
        return "*/*".to_owned();
    }
    // Header values are bytes; they are read as Latin-1, like everywhere in Python.
    let latin =
        |value: &&http::HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
    values.iter().map(latin).collect::<Vec<String>>().join(",")
}

/// The media types in a list, without those that are too long or too many.
fn media_types(accept: &str) -> impl Iterator<Item = MediaType<'_>> {
    let end = accept.char_indices().nth(LONGEST_ACCEPT).map_or(accept.len(), |(end, _)| end);
    // What is cut off must not leave a beginning that reads like a whole type.
    let read = if end == accept.len() { end } else { accept[..end].rfind(',').unwrap_or(0) };
    accept[..read]
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty() && text.chars().count() <= LONGEST_TYPE)
        .take(MOST_TYPES)
        .map(MediaType::read)
}

/// One media type of `Accept`, such as `application/json; indent=4`.
struct MediaType<'a> {
    kind: String,
    subtype: String,
    parameters: Vec<(String, Cow<'a, str>)>,
}

impl<'a> MediaType<'a> {
    fn read(text: &'a str) -> Self {
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

    /// How specific it is, from 0 for `*/*` to 3 for a type with parameters.
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

    /// The indentation that it asks for.
    fn indent(&self) -> usize {
        let asked = self.parameters.iter().rfind(|(name, _)| name == "indent");
        asked.and_then(|(_, value)| indentation(value)).unwrap_or(0)
    }
}

/// Reads a number as Python's `int` does: spaces around it, a sign and single underscores are fine.
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
    number.then_some(if negative { 0 } else { value.min(DEEPEST) })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const JSON: Result<Format, Refusal> = Ok(Format::Json { indent: 0 });

    fn asked(query: &str, accept: &[&str]) -> Result<Format, Refusal> {
        let values = accept.iter().map(|value| HeaderValue::from_bytes(value.as_bytes()));
        let headers = values.map(|value| (header::ACCEPT, value.expect("a header"))).collect();
        negotiate(query, &headers)
    }

    // What Django REST framework answers to several hundred requests is compared in `tests/it/contract`.

    #[test]
    fn json_is_what_a_caller_gets_that_does_not_care() {
        assert_eq!(asked("", &[]), JSON);
        assert_eq!(asked("", &["*/*"]), JSON);
        assert_eq!(asked("", &["application/json"]), JSON);
        assert_eq!(asked("", &["text/html, application/json;q=0"]), JSON);
    }

    #[test]
    fn a_browser_gets_a_page_unless_it_asks_for_json() {
        let browser = ["text/html,application/xhtml+xml,*/*;q=0.8"];
        assert_eq!(asked("", &browser), Ok(Format::Html));
        assert_eq!(asked("format=json", &browser), JSON);
    }

    #[test]
    fn an_unknown_format_is_refused_before_accept_is_read() {
        assert_eq!(asked("format=xml", &["image/png"]), Err(Refusal::UnknownFormat));
        assert_eq!(asked("format=json", &["image/png"]), Err(Refusal::NotAcceptable));
    }

    #[test]
    fn an_indentation_is_read_like_a_python_number() {
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
        fn any_request_gets_a_format_or_a_refusal(query: String, accept: Vec<Vec<u8>>) {
            let values = accept.iter().filter_map(|value| HeaderValue::from_bytes(value).ok());
            let headers = values.map(|value| (header::ACCEPT, value)).collect();
            let too_deep = matches!(negotiate(&query, &headers), Ok(Format::Json { indent: 9.. }));
            prop_assert!(!too_deep);
        }

        #[test]
        fn any_list_of_almost_media_types_is_read(
            accept in r#"([*/;,="\\q0-9 -]|json|html|text|application|indent){0,200}"#
        ) {
            prop_assert_ne!(asked("", &[&accept]), Err(Refusal::UnknownFormat));
        }
    }
}
