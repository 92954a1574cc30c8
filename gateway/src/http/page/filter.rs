//! The filters of the page, which are parameters of its address.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::view::{Row, View};

/// The seconds after which a page without scripts is requested again.
const REFRESH_SECONDS: u32 = 5;

/// Which checks the table lists. Parameters and values that are not known are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Filter {
    state: State,
    /// A part of the name of a check, or of its status.
    text: String,
    refreshes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    All,
    Failing,
    Working,
}

impl Filter {
    pub(in crate::http) fn parse(query: &str) -> Self {
        let mut filter = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (name, &*decode(value)) {
                ("state", "failing") => filter.state = State::Failing,
                ("state", "working") => filter.state = State::Working,
                ("state", _) => filter.state = State::All,
                ("q", text) => text.trim().clone_into(&mut filter.text),
                ("refresh", seconds) => filter.refreshes = seconds == REFRESH_SECONDS.to_string(),
                _ => {}
            }
        }
        filter
    }

    /// The value of the header `Refresh`, if the browser is to request the page again by itself.
    pub(in crate::http) fn refresh(&self) -> Option<u32> {
        self.refreshes.then_some(REFRESH_SECONDS)
    }

    pub(super) fn matches(&self, row: &Row<'_>) -> bool {
        let state = match self.state {
            State::All => true,
            State::Failing => row.is_failing(),
            State::Working => !row.is_failing(),
        };
        state && (self.matches_name(row) || contains(&row.result.status, &self.text))
    }

    pub(super) fn matches_name(&self, row: &Row<'_>) -> bool {
        contains(&row.name, &self.text)
    }

    /// The links and the form that change the filter.
    pub(super) fn controls(&self, view: &View<'_>) -> Markup {
        let (all, failing) = (view.rows.len(), view.failing());
        let states = [
            (State::All, "all", all),
            (State::Failing, "failing", failing),
            (State::Working, "working", all - failing),
        ];
        html! {
            form .controls role="search" method="get" {
                @for (state, word, count) in states {
                    @let href = Self { state, ..self.clone() }.address();
                    a href=(href) aria-current=[(state == self.state).then_some("true")] {
                        (word) " " (count)
                    }
                }
                @if self.state != State::All {
                    input type="hidden" name="state" value=(self.state.word());
                }
                @if self.refreshes {
                    input type="hidden" name="refresh" value=(REFRESH_SECONDS);
                }
                label for="q" { "Name or error" }
                input #q type="search" name="q" value=(self.text);
                button #search { "Filter" }
            }
        }
    }

    /// The link that changes whether the browser requests the page again by itself.
    pub(super) fn refresh_link(&self) -> Markup {
        let address = Self { refreshes: !self.refreshes, ..self.clone() }.address();
        html! {
            a href=(address) {
                @if self.refreshes { "Stop refreshing this page" }
                @else { "Refresh this page every " (REFRESH_SECONDS) " seconds" }
            }
        }
    }

    /// The address of the page with this filter.
    fn address(&self) -> String {
        let mut parameters = Vec::new();
        if self.state != State::All {
            parameters.push(format!("state={}", self.state.word()));
        }
        if !self.text.is_empty() {
            parameters.push(format!("q={}", utf8_percent_encode(&self.text, NON_ALPHANUMERIC)));
        }
        if self.refreshes {
            parameters.push(format!("refresh={REFRESH_SECONDS}"));
        }
        format!("?{}", parameters.join("&"))
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Failing => "failing",
            Self::Working => "working",
        }
    }
}

fn decode(value: &str) -> String {
    let value = value.replace('+', " ");
    percent_decode_str(&value).decode_utf8_lossy().into_owned()
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_from_its_own_address() {
        for query in ["", "state=failing", "q=a%20%26%3Cb%3E&refresh=5", "state=working&q=%C3%B6"] {
            assert_eq!(Filter::parse(query).address(), format!("?{query}"));
        }
    }

    #[test]
    fn what_is_not_known_is_ignored() {
        let default = Filter::default();
        for query in ["state=broken", "refresh=0", "refresh=6", "q=", "q=+", "x=y", "&&=", "%"] {
            assert_eq!(Filter::parse(query), default, "{query}");
        }
        assert_eq!(Filter::parse("q=a&q=b+c").text, "b c");
    }
}
