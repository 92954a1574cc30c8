//! The head of a request to the endpoint: method, target, headers.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use gateway::http::{Arrival, ReportSource, app};
use gateway::maybe_ready::MaybeReady;
use gateway::overview::Overview;
use gateway::report::{Components, Report};
use gateway::runner::RunOptions;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Collected};
use tower::ServiceExt as _;

use super::{Call, Target, runtime};
use crate::planted::{SECRET, leak};

/// A whole request head, parsed as leniently as HTTP allows, and answered by the endpoint.
pub(super) const REQUEST: Target = Target {
    name: "request",
    about: "request target and headers",
    max_length: 16 * 1024,
    words: &[
        "GET ",
        "HEAD ",
        "OPTIONS ",
        "POST ",
        "/api/health/",
        "{S}",
        "%2F",
        "%00",
        "%ff",
        "?format=",
        "json",
        "html",
        "&format=",
        "Accept: ",
        "application/",
        "text/",
        "*/*",
        ";q=",
        "; indent=",
        "\"",
        "\\\"",
        ",",
        "Prefer: ",
        "wait=",
        "Cache-Control: ",
        "no-cache",
        "max-age=0",
        "Pragma: ",
        "Authorization: ",
        "JWT ",
        "Host: ",
        "\r\n",
        "ö",
        "+",
    ],
    repair: None,
    start,
};

fn start() -> Call {
    let runtime = runtime();
    let app = app(Arc::new(Source));
    Box::new(move |input| {
        let Some(request) = parse(input) else { return Ok("not a request".to_owned()) };
        let method = request.method().clone();
        // The task that summarizes refused requests in the log has not ended by then.
        let (status, headers, body) = runtime.block_on(async {
            let Ok(response) = app.clone().oneshot(request).await;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map(Collected::to_bytes);
            (head.status, head.headers, body.unwrap_or_default())
        });
        let known = [200, 404, 405, 406];
        if !known.contains(&status.as_u16()) {
            return Err(format!("it is answered with {status}"));
        }
        let text = format!("{status} {headers:?} {}", String::from_utf8_lossy(&body));
        // A refusal names the method.
        let is_echoed = leak([method.as_str()]).is_some();
        match leak([text.as_str()]) {
            Some(_) if !is_echoed => Err("the answer has the token".to_owned()),
            _ => Ok(format!("{} {text}", method.as_str().len().min(8))),
        }
    })
}

/// A request with these lines as its head, or `None` if no HTTP server would pass it on.
fn parse(input: &[u8]) -> Option<Request<()>> {
    let input = String::from_utf8_lossy(input).replace("{S}", SECRET).into_bytes();
    let mut lines =
        input.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let uri = Uri::try_from(words.next()?).ok()?;
    let mut request = Request::new(());
    *request.method_mut() = method;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    request.extensions_mut().insert(Arrival::new(peer, uri));
    Some(request)
}

/// One namespace without components, for which the planted token is valid.
struct Source;

impl ReportSource for Source {
    type Namespace = ();

    fn authorize(
        self: &Arc<Self>,
        token: &str,
        credential: Option<&[u8]>,
        _: IpAddr,
    ) -> MaybeReady<Option<()>> {
        let is_right = token == SECRET && credential.is_none_or(|it| it == SECRET.as_bytes());
        MaybeReady::Left(ready(is_right.then_some(())))
    }

    fn name((): &()) -> String {
        "fuzz".to_owned()
    }

    fn failure_status((): &()) -> StatusCode {
        StatusCode::OK
    }

    fn answer_timeout((): &()) -> Duration {
        Duration::from_secs(10)
    }

    fn report((): &(), _: RunOptions) -> MaybeReady<Report> {
        let components = Arc::new(Components::from(Vec::new()));
        let report = Report { components, age: None, has_critical_failure: false };
        MaybeReady::Left(ready(report))
    }

    fn overview((): &()) -> Overview {
        Overview::default()
    }
}
