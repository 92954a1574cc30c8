//! The answer that a message must get, and the random value in both.

use async_tungstenite::tungstenite::protocol::Message;
use probe::Cause;
use probe::config::Fields;
use regex_lite::{Regex, RegexBuilder};

/// The placeholder for the random value of a run.
const RANDOM: &str = "${random}";
/// The largest compiled pattern.
const MAX_PATTERN: usize = 64 * 1024;
/// The largest message that is searched for a pattern, since a search blocks its thread.
const MAX_SEARCHED: usize = 64 * 1024;

/// A message and the settings of its answer, in which [`RANDOM`] is not replaced yet.
pub(crate) struct Dialogue {
    send: String,
    answer: AnswerSettings,
}

#[derive(Default)]
struct AnswerSettings {
    expect: Option<String>,
    contains: Option<String>,
    matches: Option<String>,
}

/// The answer that a run waits for.
pub(crate) enum Answer {
    /// Exactly this message.
    Message(Message),
    /// A text message that contains this text and matches this pattern, as far as they are configured.
    Text { contains: Option<String>, matches: Option<Regex> },
}

impl Dialogue {
    /// Reads `send`, and `expect` or one or both of `contains` and `matches`. Returns `None` without a valid `send`. Errors are reported in `fields`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let send: Option<String> = fields.optional("send");
        let answer = AnswerSettings::read(fields);
        let keys = ["expect", "contains", "matches"].into_iter().filter(|key| fields.has(key));
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() && fields.has("send") {
            fields.error("send", "expected `expect`, `contains` or `matches` beside it");
        }
        for key in keys {
            if !fields.has("send") {
                fields.error(key, "expected `send` beside it");
            } else if key != "expect" && fields.has("expect") {
                fields.error(key, "expected no `expect` beside it, which is the whole answer");
            }
        }
        let send = send?;
        for (key, text) in answer.texts() {
            if text.contains(RANDOM) && !send.contains(RANDOM) {
                fields.error(key, format!("expected `{RANDOM}` in `send` as well"));
            }
        }
        Some(Self { send, answer })
    }

    /// The message and its answer with a new random value.
    pub(crate) fn new_run(&self) -> Result<(Message, Answer), Cause> {
        let random = format!("{:032x}", rand::random::<u128>());
        let message = Message::text(self.send.replace(RANDOM, &random));
        Ok((message, self.answer.with_random(&random)?))
    }
}

impl AnswerSettings {
    fn read(fields: &mut Fields<'_>) -> Self {
        let expect = fields.optional("expect");
        let contains: Option<String> = fields.optional("contains");
        if contains.as_deref() == Some("") {
            fields.error("contains", "expected a text that is not empty");
        }
        let matches: Option<String> = fields.optional("matches");
        match matches.as_deref().map(|pattern| compile(pattern, "0")) {
            Some(Err(_)) => {
                fields.error(
                    "matches",
                    "expected a regular expression, which compiles to 64 KiB at most",
                );
            }
            Some(Ok(pattern)) if pattern.is_match("") => {
                fields.error("matches", "expected a pattern that does not match an empty text");
            }
            _ => {}
        }
        Self { expect, contains, matches }
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let all =
            [("expect", &self.expect), ("contains", &self.contains), ("matches", &self.matches)];
        all.into_iter().filter_map(|(key, text)| Some((key, text.as_ref()?)))
    }

    fn with_random(&self, random: &str) -> Result<Answer, Cause> {
        if let Some(expect) = &self.expect {
            return Ok(Answer::Message(Message::text(expect.replace(RANDOM, random))));
        }
        let contains = self.contains.as_ref().map(|text| text.replace(RANDOM, random));
        let matches = self.matches.as_ref().map(|pattern| compile(pattern, random)).transpose()?;
        Ok(Answer::Text { contains, matches })
    }
}

impl Answer {
    /// Whether `message` is the answer.
    pub(crate) fn is(&self, message: &Message) -> bool {
        match (self, message) {
            (Self::Message(expected), message) => message == expected,
            (Self::Text { contains, matches }, Message::Text(text)) => {
                let contains = contains.as_ref().is_none_or(|part| text.contains(part.as_str()));
                contains
                    && matches.as_ref().is_none_or(|pattern| {
                        text.len() <= MAX_SEARCHED && pattern.is_match(text.as_str())
                    })
            }
            (Self::Text { .. }, _) => false,
        }
    }
}

/// Compiles `pattern` with this random value, which has no special characters.
fn compile(pattern: &str, random: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(&pattern.replace(RANDOM, random)).size_limit(MAX_PATTERN).build()
}
