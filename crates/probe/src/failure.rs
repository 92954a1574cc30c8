//! A failed check: step and cause, rendered as one line.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;

use crate::scrub;

/// The maximum length of a status line in characters, target included.
pub const MAX_LINE: usize = 300;

/// The step that failed, and the cause.
#[derive(Clone, Debug)]
pub struct Failure {
    step: &'static str,
    cause: Cause,
}

impl Failure {
    /// `step` failed because of `cause`, which may be any error.
    pub fn new(step: &'static str, cause: impl Into<Cause>) -> Self {
        Self { step, cause: cause.into() }
    }

    /// `step` failed for a reason that the probe states itself: lower case, without a final dot.
    pub fn msg(step: &'static str, reason: impl Into<String>) -> Self {
        Self { step, cause: Cause::msg(reason) }
    }

    /// Puts `context`, such as the node of a cluster, before the cause.
    #[must_use]
    pub fn in_context(mut self, context: impl fmt::Display) -> Self {
        self.cause.text = format!("{context}: {}", self.cause.text);
        self
    }

    /// The step that failed.
    pub fn step(&self) -> &'static str {
        self.step
    }

    /// The cause.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Adds `note` to the line, after the cause, where it is not cut off.
    pub(crate) fn with_note(mut self, note: String) -> Self {
        self.cause.note = note;
        // The server has not refused anything again.
        self.cause.login_refused = false;
        self
    }

    /// Renders the failure as callers see it: `step: cause (target)`, without secrets, on one line, at most [`MAX_LINE`] characters long.
    ///
    /// A line that is too long is cut in its cause, since step and target matter most.
    pub fn render(&self, target: &str) -> String {
        let head = tidy(&scrub(&format!("{}: ", self.step)));
        let tail = match tidy(&scrub(target)) {
            target if target.is_empty() => String::new(),
            target => format!(" ({})", shorten(&target, MAX_LINE / 2)),
        };
        let cause = tidy(&scrub(&self.cause.text));
        // A server's or library's text may end with a dot.
        let cause = cause.trim_end_matches(['.', ' ']);
        let tail = format!("{}{tail}", self.cause.note);
        let room = MAX_LINE - head.chars().count() - 1 - tail.chars().count();
        format!("{head} {}{tail}", shorten(cause, room))
    }
}

/// Why a step failed.
#[derive(Clone)]
pub struct Cause {
    text: String,
    /// What the gateway itself adds to the text.
    note: String,
    connection_lost: bool,
    login_refused: bool,
}

impl Cause {
    /// A cause that the probe states itself.
    pub fn msg(reason: impl Into<String>) -> Self {
        Self::from_text(reason.into(), false)
    }

    fn from_text(text: String, connection_lost: bool) -> Self {
        Self { text, note: String::new(), connection_lost, login_refused: false }
    }

    /// Marks the cause as the loss of a connection, which on a reused connection is no evidence against the server (see [`crate::CachedConnection`]).
    #[must_use]
    pub fn connection_lost(mut self) -> Self {
        self.connection_lost = true;
        self
    }

    /// Whether the connection was lost, as opposed to a bad answer on an intact one.
    pub fn is_connection_lost(&self) -> bool {
        self.connection_lost
    }

    /// Marks the cause as the server's refusal of the credentials themselves, after which they are not tried again for a while (see [`crate::LoginBackoff`]).
    #[must_use]
    pub fn login_refused(mut self) -> Self {
        self.login_refused = true;
        self
    }

    /// Whether the server refused the credentials themselves.
    pub fn is_login_refused(&self) -> bool {
        self.login_refused
    }

    /// The text before it is shortened and scrubbed.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Scrubbed, since the text may come from a server or a library.
impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cause")
            .field("text", &scrub(&self.text))
            .field("connection_lost", &self.connection_lost)
            .field("login_refused", &self.login_refused)
            .finish_non_exhaustive()
    }
}

impl From<Failure> for Cause {
    fn from(failure: Failure) -> Self {
        failure.cause
    }
}

/// The text contains the whole chain of sources. A source that an error already repeats in its own text is not added again.
impl<E: Error + 'static> From<E> for Cause {
    fn from(error: E) -> Self {
        let mut text = plain(&error);
        let mut connection_lost = is_lost(&error);
        let mut next = error.source();
        while let Some(source) = next {
            connection_lost |= is_lost(source);
            let part = plain(source);
            if !text.to_lowercase().ends_with(&part.to_lowercase()) {
                let _infallible = write!(text, ": {part}");
            }
            next = source.source();
        }
        Self::from_text(text, connection_lost)
    }
}

/// An error's own text in the style of status lines: no `(os error N)`, no final dot, a lower-case first letter unless it begins an acronym.
fn plain(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    let text = match text.rfind(" (os error ") {
        Some(at) if text.ends_with(')') => &text[..at],
        _ => &text,
    };
    let text = text.trim().trim_end_matches('.');
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

fn is_lost(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof, WriteZero,
    };
    let Some(error) = error.downcast_ref::<io::Error>() else {
        return false;
    };
    // `source` of an I/O error skips the error that it wraps.
    let wrapped = || error.get_ref().is_some_and(|inner| is_lost(inner));
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof | WriteZero
    ) || wrapped()
}

/// Joins all lines into one, with single spaces.
fn tidy(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a character steers a terminal, or changes the direction of those that follow, the target among them.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn shorten(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cause: impl Into<Cause>, expected: &str) {
        assert_eq!(Failure::new("connect", cause).render("10.0.3.7:5432"), expected);
    }

    #[test]
    fn a_text_of_a_server_cannot_steer_where_it_is_shown() {
        check(
            Cause::msg("a\u{1b}[2Jb\u{9b}1mc\u{202e}d\u{2066}e\u{2028}f\r\n"),
            "connect: a [2Jb 1mc d e f (10.0.3.7:5432)",
        );
    }

    #[test]
    fn an_operating_system_error_is_rendered_without_its_number() {
        check(io::Error::from_raw_os_error(111), "connect: connection refused (10.0.3.7:5432)");
    }

    #[test]
    fn a_source_that_the_line_already_ends_with_is_not_repeated() {
        let inner = io::Error::other("Handshake failed.");
        check(io::Error::other(inner), "connect: handshake failed (10.0.3.7:5432)");
    }

    #[test]
    fn an_acronym_keeps_its_capitals() {
        check(io::Error::other("TLS is required"), "connect: TLS is required (10.0.3.7:5432)");
    }

    #[test]
    fn a_cause_of_several_lines_becomes_one_line() {
        check(
            Cause::msg("first\r\nsecond\t third\0"),
            "connect: first second third (10.0.3.7:5432)",
        );
    }

    #[test]
    fn a_final_dot_is_removed() {
        check(Cause::msg("No such user. "), "connect: No such user (10.0.3.7:5432)");
    }

    #[test]
    fn debug_output_masks_a_secret_that_a_server_quoted() {
        let _secret = crate::Secret::new("hunter2-quoted");
        let failure = Failure::msg("connect", "bad password hunter2-quoted");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }

    #[test]
    fn a_long_cause_is_cut_and_the_target_is_kept() {
        let line = Failure::msg("query", "é".repeat(1000)).render("db:5432");
        assert_eq!(line.chars().count(), MAX_LINE);
        assert!(line.starts_with("query: éé") && line.ends_with("é… (db:5432)"), "{line}");
    }

    #[test]
    fn a_note_is_kept_when_the_cause_is_cut() {
        let failure = Failure::msg("login", "x".repeat(1000)).with_note(", refused 4s ago".into());
        let line = failure.render("db:5432");
        assert_eq!(line.chars().count(), MAX_LINE);
        assert!(line.ends_with("xx…, refused 4s ago (db:5432)"), "{line}");
    }

    #[test]
    fn a_check_without_a_target_ends_with_its_cause() {
        assert_eq!(
            Failure::msg("read secret", "permission denied").render(""),
            "read secret: permission denied"
        );
    }

    #[test]
    fn a_lost_connection_is_seen_through_the_chain_of_sources() {
        let reset = io::Error::other(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(Cause::from(reset).is_connection_lost());
        assert!(
            !Cause::from(io::Error::from(io::ErrorKind::ConnectionRefused)).is_connection_lost()
        );
    }
}
