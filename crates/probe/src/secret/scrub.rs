//! Masks secrets in text, also where they are encoded.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Instant;

use super::registry::{REGISTRY, Registry};

/// Replaces a secret in a text.
pub(super) const MASK: &str = "***";

/// Shorter secrets are only masked as whole words: they occur by chance within other words.
const SHORTEST_WITHIN_WORDS: usize = 8;

/// The length from which a word is decoded as base64.
const SHORTEST_BASE64: usize = 8;

/// Masks every secret in memory, and the user-info of every URL, in `text`.
///
/// A secret is found as it is, escaped in JSON, percent-encoded, and in base64, alone or with other text, such as the user of Basic authentication.
/// The gateway's own messages contain no secrets by construction. Errors of servers and libraries may.
pub fn scrub(text: &str) -> String {
    let clean = without_user_info(text);
    let mut views = vec![View::plain(&clean)];
    views.extend(View::percent_decoded(&clean));
    views.extend(View::base64_decoded(&clean));
    let (registry, now) = (REGISTRY.lock(), Instant::now());
    let found = views.iter().flat_map(|view| view.find(&registry, now)).collect();
    drop(registry);
    masked(&clean, found)
}

/// A text, or what it decodes to, in which secrets are found.
struct View<'a> {
    bytes: Cow<'a, [u8]>,
    origin: Origin,
}

/// Where the bytes of a view come from.
enum Origin {
    /// They are those of the text.
    Same,
    /// Each was decoded from the text that begins here; the last entry is the end of the text.
    Offsets(Vec<usize>),
    /// They were decoded from this part of the text, which is masked as a whole.
    Part(Range<usize>),
}

impl<'a> View<'a> {
    fn plain(text: &'a str) -> Self {
        Self { bytes: Cow::Borrowed(text.as_bytes()), origin: Origin::Same }
    }

    fn percent_decoded(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        memchr::memchr(b'%', text)?;
        let (mut bytes, mut offsets, mut at) = (Vec::new(), Vec::new(), 0);
        while at < text.len() {
            offsets.push(at);
            let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
            let decoded = match (text[at], digit(at + 1), digit(at + 2)) {
                (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
                _ => None,
            };
            bytes.push(decoded.unwrap_or(text[at]));
            at += if decoded.is_some() { 3 } else { 1 };
        }
        offsets.push(at);
        Some(Self { bytes: Cow::Owned(bytes), origin: Origin::Offsets(offsets) })
    }

    /// What each word decodes to. Where the base64 begins in it is not known, so each of four positions is one view.
    fn base64_decoded(text: &str) -> impl Iterator<Item = Self> {
        let words = text.split(|c: char| base64_digit(c).is_none());
        let words = words.filter(|word| word.len() >= SHORTEST_BASE64);
        words.flat_map(|word| {
            let start = word.as_ptr().addr() - text.as_ptr().addr();
            (0..4).map(move |skipped| {
                let part = start + skipped..start + word.len();
                Self { bytes: Cow::Owned(base64(&word[skipped..])), origin: Origin::Part(part) }
            })
        })
    }

    /// Where the text has secrets in this view. Short ones only count as whole words.
    fn find(&self, registry: &Registry, now: Instant) -> Vec<Range<usize>> {
        let is_hidden = |(range, length): &(Range<usize>, usize)| {
            *length >= SHORTEST_WITHIN_WORDS || self.is_word(range)
        };
        let in_text = |(range, _): (Range<usize>, usize)| match &self.origin {
            Origin::Same => range,
            Origin::Offsets(offsets) => offsets[range.start]..offsets[range.end],
            Origin::Part(part) => part.clone(),
        };
        registry.find(&self.bytes, now).into_iter().filter(is_hidden).map(in_text).collect()
    }

    fn is_word(&self, range: &Range<usize>) -> bool {
        let (before, after) = (&self.bytes[..range.start], &self.bytes[range.end..]);
        let is_part =
            |byte: Option<&u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric() || *it >= 128);
        !is_part(after.first()) && (!is_part(before.last()) || ends_with_escape(before))
    }
}

/// Whether `text` ends with a control character as JSON escapes it, such as `\n` or `\u0000`.
fn ends_with_escape(text: &[u8]) -> bool {
    matches!(text, [.., b'\\', b'b' | b'f' | b'n' | b'r' | b't'])
        || text.last_chunk::<6>().is_some_and(|end| end.starts_with(b"\\u"))
}

/// The value of a digit of base64, in the standard alphabet or in that for URLs.
fn base64_digit(c: char) -> Option<u32> {
    let code = u32::from(c);
    Some(match c {
        'A'..='Z' => code - u32::from('A'),
        'a'..='z' => code - u32::from('a') + 26,
        '0'..='9' => code - u32::from('0') + 52,
        '+' | '-' => 62,
        '/' | '_' => 63,
        _ => return None,
    })
}

/// Decodes digits of base64, of which some may be missing at the end.
fn base64(digits: &str) -> Vec<u8> {
    let (mut bytes, mut value, mut bits) = (Vec::with_capacity(digits.len()), 0_u32, 0);
    for digit in digits.chars().filter_map(base64_digit) {
        value = ((value << 6) | digit) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((value >> bits).to_le_bytes()[0]);
        }
    }
    bytes
}

/// Masks these parts of `text`. Those that overlap become one.
fn masked(text: &str, mut parts: Vec<Range<usize>>) -> String {
    if parts.is_empty() {
        return text.to_owned();
    }
    parts.sort_by_key(|part| part.start);
    let (mut clean, mut end) = (String::with_capacity(text.len()), 0);
    for part in parts {
        if part.start >= end {
            clean.push_str(&text[end..part.start]);
            clean.push_str(MASK);
        }
        end = end.max(part.end);
    }
    clean.push_str(&text[end..]);
    clean
}

/// Masks the text between `://` and the last `@` of a URL's authority.
fn without_user_info(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let authority = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`'))
            .unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(end) => {
                clean.push_str(MASK);
                &after[end..]
            }
            None => after,
        };
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Secret;

    fn check(secret: &str, text: &str, expected: &str) {
        let _secret = Secret::new(secret);
        assert_eq!(scrub(text), expected);
    }

    #[test]
    fn every_occurrence_of_a_secret_is_masked() {
        let text = "bad key hunter2-alive, again xhunter2-alivex";
        check("hunter2-alive", text, "bad key ***, again x***x");
    }

    #[test]
    fn a_secret_within_another_secret_is_masked_with_it() {
        let _part = Secret::new("hunter2-part");
        check("key=hunter2-part;more", "sent key=hunter2-part;more", "sent ***");
    }

    #[test]
    fn a_secret_is_masked_in_json() {
        check(r#"hunter2"quoted\"#, r#"{"text":"hunter2\"quoted\\"}"#, r#"{"text":"***"}"#);
        check("hunter2\nline", r#"{"text":"hunter2\nline"}"#, r#"{"text":"***"}"#);
    }

    #[test]
    fn a_short_secret_is_masked_as_a_whole_word() {
        check("kiwi7", "kiwi7 :kiwi7@ kiwi7x xkiwi7 7", "*** :***@ kiwi7x xkiwi7 7");
        check("plum3", r#""a\nplum3" "\u0000plum3""#, r#""a\n***" "\u0000***""#);
        check("fig4", "u%3Afig4%40h", "u%3A***%40h");
    }

    #[test]
    fn a_percent_encoded_secret_is_masked_whatever_is_encoded() {
        for text in
            ["p@ss/wörd-1", "p%40ss/wörd-1", "p%40ss%2Fw%C3%B6rd-1", "%70%40ss%2fw%c3%b6rd%2D1"]
        {
            check("p@ss/wörd-1", &format!("GET /{text}?"), "GET /***?");
        }
        check("as%41is%", "as%41is% and %61s%2541is%25", "*** and ***");
        check("two words", "two+words two%20words", "*** ***");
    }

    #[test]
    fn a_secret_in_base64_is_masked_with_what_is_beside_it() {
        // `health:hunter2-basic` and the SASL mechanism PLAIN's `\0health\0hunter2-basic`.
        for text in
            ["aGVhbHRoOmh1bnRlcjItYmFzaWM=", "AGhlYWx0aABodW50ZXIyLWJhc2lj", "aHVudGVyMi1iYXNpYw"]
        {
            check(
                "hunter2-basic",
                &format!("Basic {text},"),
                &format!("Basic ***{},", "=".repeat(text.matches('=').count())),
            );
        }
        check("hunter2-basic", "/x/aHVudGVyMi1iYXNpYw", "/x/***");
        check("~~~???>>>", "fn5-Pz8_Pj4- fn5+Pz8/Pj4+", "*** ***");
    }

    #[test]
    fn user_info_is_masked_in_any_url() {
        assert_eq!(
            scrub("redis://me:p@ss@cache:6379/1 and http://x/y@z"),
            "redis://***@cache:6379/1 and http://x/y@z"
        );
    }

    proptest! {
        #[test]
        fn any_text_can_be_scrubbed(text: String, secret in "[ -~]{4,20}") {
            let _secret = Secret::new(&secret);
            scrub(&text);
            scrub(&format!("{text}{secret}%{text}"));
        }
    }
}
