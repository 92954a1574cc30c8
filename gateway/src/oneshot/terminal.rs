//! What a terminal can show: its colours, its size, and texts without control characters.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use rustix::termios::tcgetwinsize;

/// Whether the output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set. `CLICOLOR_FORCE` adds colours elsewhere.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How the table is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) color: bool,
    pub(super) verbose: bool,
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Style {
    pub(super) fn new(choice: ColorChoice, verbose: bool) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => has_color(|name| env::var_os(name), io::stdout().is_terminal()),
        };
        Self { color, verbose }
    }
}

fn has_color(variable: impl Fn(&str) -> Option<OsString>, is_terminal: bool) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    let is_forced = is_set("CLICOLOR_FORCE") && variable("CLICOLOR_FORCE") != Some("0".into());
    let is_dumb = variable("TERM") == Some("dumb".into());
    !is_set("NO_COLOR") && (is_forced || (is_terminal && !is_dumb))
}

impl Screen {
    /// The screen of standard output, or `None` if that is no terminal.
    pub(super) fn current() -> Option<Self> {
        let out = io::stdout();
        if !out.is_terminal() {
            return None;
        }
        let size = tcgetwinsize(out).ok();
        let or_default =
            |size: Option<u16>, default| size.filter(|size| *size > 0).map_or(default, usize::from);
        // A terminal on a serial line does not know its size.
        Some(Self {
            columns: or_default(size.map(|size| size.ws_col), 80),
            rows: or_default(size.map(|size| size.ws_row), 24),
        })
    }
}

/// Writes characters that are not shown, or that steer a terminal, by their numbers: `\u{1b}`.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            let _infallible = write!(escaped, "\\u{{{:x}}}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The same for a text of several lines.
pub fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// Whether a character is a control character, changes the direction of others, has no width, or is none (which XML does not allow either).
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fffe}'
                | '\u{ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_terminal_and_the_variables() {
        let check = |variables: &[(&str, &str)], is_terminal, expected| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(has_color(variable, is_terminal), expected, "{variables:?} {is_terminal}");
        };
        check(&[], true, true);
        check(&[], false, false);
        check(&[("NO_COLOR", "1")], true, false);
        check(&[("NO_COLOR", "")], true, true);
        check(&[("TERM", "dumb")], true, false);
        check(&[("CLICOLOR_FORCE", "1")], false, true);
        check(&[("CLICOLOR_FORCE", "0")], false, false);
        check(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false);
    }

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        let text = "ö 日本 \u{1b}[2J \u{9b}31m \u{202e}abc\r\n\u{7f}";
        assert_eq!(escape_lines("a\u{1b}b\r\nc\n"), "a\\u{1b}b\\u{d}\nc\n");
        assert_eq!(escape(text), r"ö 日本 \u{1b}[2J \u{9b}31m \u{202e}abc\u{d}\u{a}\u{7f}");
    }
}
