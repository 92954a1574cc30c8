//! The formats of the metrics, and their text in parts.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

use crate::http::header_list;

/// The size of a part. The text of thousands of checks has tens of megabytes, which would be copied whenever a single buffer grows.
const PART: usize = 64 * 1024;

const CLASSIC: HeaderValue = HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpositionFormat {
    /// The text format of Prometheus, version 0.0.4.
    Classic,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

/// The text of all metrics.
#[derive(Debug)]
pub struct Exposition {
    /// The media type of its format.
    pub content_type: HeaderValue,
    /// The text, in parts.
    pub parts: Vec<Bytes>,
}

impl ExpositionFormat {
    /// `OpenMetrics` if `Accept` names it, and does not prefer plain text. Otherwise the classic format, which every client reads.
    pub(super) fn negotiate(headers: &HeaderMap) -> Self {
        let (mut open_metrics, mut plain) = (0.0, 0.0);
        for accept in headers.get_all(header::ACCEPT) {
            for media_type in header_list::split(accept.to_str().unwrap_or_default(), ',') {
                let mut parameters = header_list::split(media_type, ';');
                let name = parameters.next().unwrap_or_default().to_ascii_lowercase();
                let parameters = Parameters::parse(parameters);
                match name.as_str() {
                    "application/openmetrics-text" if parameters.is_version_1 => {
                        open_metrics = parameters.quality.max(open_metrics);
                    }
                    "text/plain" => plain = parameters.quality.max(plain),
                    _ => {}
                }
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain { Self::OpenMetrics } else { Self::Classic }
    }

    pub(super) fn write(self, registry: &Registry) -> Exposition {
        let mut parts = Parts::default();
        let (content_type, written) = match self {
            Self::Classic => (CLASSIC, prometheus_text::encode(&mut parts, registry)),
            Self::OpenMetrics => (OPEN_METRICS, text::encode(&mut parts, registry)),
        };
        // Only a writer fails, and this one does not.
        debug_assert!(written.is_ok());
        Exposition { content_type, parts: parts.finish() }
    }
}

/// The parameters of a media type in `Accept`.
struct Parameters {
    quality: f32,
    /// Whether the version is 1.0.0, or not given.
    is_version_1: bool,
}

impl Parameters {
    fn parse<'a>(parameters: impl Iterator<Item = &'a str>) -> Self {
        let mut parsed = Self { quality: 1.0, is_version_1: true };
        for (name, value) in parameters.filter_map(|parameter| parameter.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => parsed.quality = value.trim().parse().unwrap_or_default(),
                "version" => parsed.is_version_1 = header_list::unquote(value.trim()) == "1.0.0",
                _ => {}
            }
        }
        parsed
    }
}

/// Collects a text in parts of about the same size.
#[derive(Default)]
struct Parts {
    full: Vec<Bytes>,
    last: String,
}

impl Parts {
    fn finish(mut self) -> Vec<Bytes> {
        self.full.push(self.last.into());
        self.full
    }
}

impl fmt::Write for Parts {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.last.len() + text.len() > PART && !self.last.is_empty() {
            self.full.push(std::mem::replace(&mut self.last, String::with_capacity(PART)).into());
        }
        self.last.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn format(accept: &[&'static str]) -> ExpositionFormat {
        let headers = accept.iter().map(|value| (header::ACCEPT, HeaderValue::from_static(value)));
        ExpositionFormat::negotiate(&headers.collect())
    }

    #[test]
    fn open_metrics_is_written_only_if_it_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            &[prometheus][..],
            &["application/openmetrics-text"],
            &["text/html", "Application/OpenMetrics-Text; version=\"1.0.0\""],
        ] {
            assert_eq!(format(accept), ExpositionFormat::OpenMetrics, "{accept:?}");
        }
        for accept in [
            &[][..],
            &["*/*"],
            &["image/png"],
            &["text/plain, application/openmetrics-text;q=0.5"],
            &["application/openmetrics-text;version=2.0.0"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=x"],
        ] {
            assert_eq!(format(accept), ExpositionFormat::Classic, "{accept:?}");
        }
    }

    #[test]
    fn the_parts_are_the_text() {
        let mut parts = Parts::default();
        let text = "0123456789".repeat(100);
        for _ in 0..200 {
            parts.write_str(&text).unwrap();
        }
        let parts = parts.finish();
        assert!(parts.len() > 3 && parts.iter().all(|part| part.len() <= PART));
        assert_eq!(parts.concat(), text.repeat(200).as_bytes());
    }
}
