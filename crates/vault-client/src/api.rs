//! One request to Vault's HTTP API and its answer; knows nothing of logins.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use probe::config::Url;
use probe::{Failure, Steps};
use serde_json::Value;

/// How long background work waits for Vault; a check waits as long as its own deadline allows.
const BACKGROUND: Duration = Duration::from_secs(5);

const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

/// What stands for itself in a path.
const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// `work` with the time bound of background work.
pub(crate) async fn bounded<T>(
    steps: &Steps,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let silent = |_| {
        let reason = format!("no answer within {} s", BACKGROUND.as_secs());
        Err(Failure::msg(steps.current(), reason))
    };
    tokio::time::timeout(BACKGROUND, work).await.unwrap_or_else(silent)
}

/// Where Vault is, and in which of its namespaces we work.
#[derive(Debug)]
pub(crate) struct Api {
    client: http_client::Client,
    prefix: String,
    namespace: Option<HeaderValue>,
}

impl Api {
    pub(crate) fn new(url: &Url, tls: net::TlsSettings, namespace: Option<HeaderValue>) -> Self {
        let prefix = url.path().trim_end_matches('/').to_owned();
        Self { client: http_client::Client::new(url, tls), prefix, namespace }
    }

    pub(crate) fn target(&self) -> &str {
        self.client.target()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_ref().and_then(|namespace| namespace.to_str().ok()).unwrap_or_default()
    }

    /// Sends one request in the step `step`. Writes are `PUT`, as in Vault's own client: `PUT` may be repeated when the kept connection turns out closed.
    ///
    /// That is harmless for all we write: a second renewal is a renewal, a second revocation finds nothing left, and a second login leaves at worst a token that nobody uses until it expires.
    pub(crate) async fn call(
        &self,
        steps: &Steps,
        step: &'static str,
        path: &str,
        token: Option<&HeaderValue>,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let method = if body.is_some() { Method::PUT } else { Method::GET };
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let path = utf8_percent_encode(path, UNRESERVED);
        let mut request =
            Request::builder().method(method).uri(format!("{}/v1/{path}", self.prefix));
        if let Some(namespace) = &self.namespace {
            request = request.header(NAMESPACE, namespace);
        }
        if let Some(token) = token {
            request = request.header(TOKEN, token);
        }
        let request = request.body(body).map_err(|error| Failure::new(step, error))?;
        let answer = self.client.send(steps, step, request).await?;
        Ok(Answer::read(&answer))
    }

    /// The state of the server, which belongs to no namespace and needs no token.
    pub(crate) async fn health(
        &self,
        steps: &Steps,
        step: &'static str,
    ) -> Result<Answer, Failure> {
        let request = Request::get(format!("{}/v1/sys/health", self.prefix)).body(Bytes::new());
        let request = request.map_err(|error| Failure::new(step, error))?;
        let answer = self.client.send(steps, step, request).await?;
        Ok(Answer::read(&answer))
    }
}

/// What Vault answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The body, or `Null` if it is not JSON.
    pub(crate) body: Value,
    /// What the body is instead: its type, or its words if they are few.
    instead: String,
}

impl Answer {
    fn read(answer: &Response<Bytes>) -> Self {
        let body = serde_json::from_slice(answer.body()).unwrap_or_default();
        Self { status: answer.status(), body, instead: instead(answer) }
    }

    /// This answer if it is a success, else what Vault says instead.
    pub(crate) fn success(self, step: &'static str) -> Result<Self, Failure> {
        if self.status.is_success() { Ok(self) } else { Err(Failure::msg(step, self.reason())) }
    }

    /// Why this is not the answer that was asked for: Vault's own words if there are any.
    pub(crate) fn reason(&self) -> String {
        let status = self.status.as_u16();
        if self.status.is_redirection() {
            return format!("answered with a redirect ({status}), which is not followed");
        }
        match self.errors() {
            errors if !errors.is_empty() => format!("{errors} (status {status})"),
            _ if self.body.is_object() => format!("status {status}"),
            _ => format!("status {status}, not Vault: {}", self.instead),
        }
    }

    /// Vault's own words, on one line.
    pub(crate) fn errors(&self) -> String {
        let errors = self.body["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // Several errors arrive as one text: `2 errors occurred:`, then each in a line that begins with a star.
        let lines = errors.flat_map(str::lines).map(|line| line.trim().trim_start_matches("* "));
        lines
            .filter(|line| !line.is_empty() && !line.ends_with("occurred:"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// What a body is that is not JSON. The words of a plain text often say it: that TLS is expected here, for instance.
fn instead(answer: &Response<Bytes>) -> String {
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default();
    let text = std::str::from_utf8(answer.body()).unwrap_or_default().trim();
    match content_type {
        "" | "text/plain" if (1..100).contains(&text.len()) => text.to_owned(),
        "" => "no JSON".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, content_type: &str, body: &str, expected: &str) {
        let answer = Response::builder().status(status).header("content-type", content_type);
        let answer = answer.body(Bytes::copy_from_slice(body.as_bytes())).expect("an answer");
        assert_eq!(Answer::read(&answer).reason(), expected);
    }

    #[test]
    fn a_refusal_is_told_in_vaults_own_words() {
        let body =
            r#"{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}"#;
        check(403, "application/json", body, "permission denied, invalid token (status 403)");
        check(
            503,
            "application/json",
            r#"{"errors":["Vault is sealed"]}"#,
            "Vault is sealed (status 503)",
        );
    }

    #[test]
    fn an_answer_of_another_server_is_told_from_vaults() {
        check(200, "text/html; charset=utf-8", "<html>", "status 200, not Vault: text/html");
        check(200, "", "", "status 200, not Vault: no JSON");
        check(400, "text/plain", "TLS, please\n", "status 400, not Vault: TLS, please");
        check(404, "application/json", r#"{"errors":[]}"#, "status 404");
        check(307, "text/html", "", "answered with a redirect (307), which is not followed");
    }
}
