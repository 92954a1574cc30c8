//! The report as an HTML page: what fails and since when, with the history of each check.

mod causes;
mod changes;
mod charts;
mod details;
mod filter;
mod notices;
mod runbook;
mod table;
mod text;
mod view;

use std::sync::LazyLock;

use data_encoding::BASE64;
use http::HeaderValue;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

pub(super) use self::filter::Filter;
use self::view::View;
use crate::overview::Overview;
use crate::report::Report;
use crate::runner::Moment;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The Content-Security-Policy of a page. It allows the page's own style, script and icon, requests to its own address, and nothing else.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| BASE64.encode(&Sha256::digest(text));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    // A policy that is not a header could not be expressed at all: then nothing is allowed.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// How often the page is requested again: quickly while something fails, so that its recovery is seen.
const POLL_SECONDS: (u32, u32) = (1, 5);

/// Returns the page with a report.
pub(super) fn report(report: &Report, overview: &Overview, filter: &Filter) -> String {
    let view = View::new(report, overview, Moment::now());
    let headline = view.headline();
    let (failing, working) = POLL_SECONDS;
    let content = html! {
        p #stale role="status" {}
        p #live .unseen role="status" aria-live="polite" {}
        main data-poll=(if view.failing() == 0 { working } else { failing }) {
            h1 { (headline.text) }
            @if let Some(note) = headline.note { p { (note) } }
            (notices::notices(&view))
            (causes::causes(&view))
            (table::table(&view, filter))
            (changes::changes(&view, filter))
            footer { (notices::memory(&view)) }
        }
        noscript { p { (filter.refresh_link()) } }
        script { (PreEscaped(SCRIPT)) }
    };
    page(&headline.title, headline.icon, &content)
}

/// Returns the page with the description of the endpoint.
pub(super) fn metadata(name: &str, json: &str) -> String {
    page(name, "data:,", &html! { main { h1 { (name) } pre { (json) } } })
}

fn page(title: &str, icon: &str, content: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) }
                // Without it, browsers request `/favicon.ico`.
                link rel="icon" href=(icon);
                style { (PreEscaped(STYLE)) }
            }
            body { (content) }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests;
