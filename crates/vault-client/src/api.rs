//! Requests to Vault's HTTP API and its responses, without logins.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use probe::config::Url;
use probe::{Failure, Steps};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use zeroize::{Zeroize as _, Zeroizing};

/// The timeout of background work. A check has a timeout of its own.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(5);

const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

/// Everything except unreserved characters and the slash is percent-encoded in a path.
const PATH_ENCODE_SET: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A client of one Vault and one of its namespaces.
#[derive(Debug)]
pub(crate) struct ApiClient {
    client: http_client::Client,
    prefix: String,
    namespace: Option<HeaderValue>,
}

impl ApiClient {
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

    /// Sends a request in the step `step`: `GET` without a body, else `PUT`, as Vault's own client does. The HTTP client may send both twice, since repeating a renewal or a revocation changes nothing.
    ///
    /// A request with a body and without a token is a login. It is sent by `POST`, so that the HTTP client sends it once: each login makes a token and may use up a secret ID.
    pub(crate) async fn call(
        &self,
        steps: &Steps,
        step: &'static str,
        path: &str,
        token: Option<&HeaderValue>,
        body: Option<&Value>,
    ) -> Result<ApiResponse, Failure> {
        let method = match (body, token) {
            (None, _) => Method::GET,
            (Some(_), Some(_)) => Method::PUT,
            (Some(_), None) => Method::POST,
        };
        let body = body.map_or_else(Bytes::new, |body| {
            Bytes::from_owner(Zeroizing::new(body.to_string().into_bytes()))
        });
        let path = utf8_percent_encode(path, PATH_ENCODE_SET);
        let mut request =
            Request::builder().method(method).uri(format!("{}/v1/{path}", self.prefix));
        if let Some(namespace) = &self.namespace {
            request = request.header(NAMESPACE, namespace);
        }
        if let Some(token) = token {
            request = request.header(TOKEN, token);
        }
        let request = request.body(body).map_err(|error| Failure::new(step, error))?;
        let response = self.client.send(steps, step, request).await?;
        Ok(ApiResponse::new(&response))
    }

    /// Requests `sys/health`, which belongs to no namespace and needs no token.
    pub(crate) async fn health(
        &self,
        steps: &Steps,
        step: &'static str,
    ) -> Result<ApiResponse, Failure> {
        let request = Request::get(format!("{}/v1/sys/health", self.prefix)).body(Bytes::new());
        let request = request.map_err(|error| Failure::new(step, error))?;
        let response = self.client.send(steps, step, request).await?;
        Ok(ApiResponse::new(&response))
    }
}

/// The maximum number of values in a body. Parsed, a value takes many times the two bytes that it may have in the body.
const MAX_VALUES: usize = 65_536;

/// Whether a JSON body has too many values. Each but the first follows one of these characters.
fn has_too_many_values(body: &[u8]) -> bool {
    body.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > MAX_VALUES
}

/// A response of Vault, or of another server in its place.
#[derive(Debug)]
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    /// The body, or `Null` if it is not JSON.
    pub(crate) body: Value,
    /// A description of a body that is not JSON: its text if that is short, else its type.
    non_json: String,
}

impl Drop for ApiResponse {
    /// The body may have secrets.
    fn drop(&mut self) {
        wipe(&mut self.body);
    }
}

/// Overwrites all strings in `value`. Its depth is bounded by the parser.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(entries) => entries.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl ApiResponse {
    pub(crate) fn new(response: &Response<Bytes>) -> Self {
        let status = response.status();
        if has_too_many_values(response.body()) {
            let non_json = format!("more than {MAX_VALUES} values");
            return Self { status, body: Value::Null, non_json };
        }
        let body = serde_json::from_slice(response.body()).unwrap_or_default();
        Self { status, body, non_json: describe_non_json(response) }
    }

    /// Returns this response if its status is a success, else a failure with Vault's error text.
    pub(crate) fn into_success(self, step: &'static str) -> Result<Self, Failure> {
        if self.status.is_success() { Ok(self) } else { Err(Failure::msg(step, self.error_text())) }
    }

    /// Describes an unexpected response, with Vault's own errors if there are any.
    pub(crate) fn error_text(&self) -> String {
        let status = self.status.as_u16();
        if self.status.is_redirection() {
            return format!("answered with a redirect ({status}), which is not followed");
        }
        match self.errors() {
            errors if !errors.is_empty() => format!("{errors} (status {status})"),
            _ if self.body.is_object() => format!("status {status}"),
            _ => format!("status {status}, not Vault: {}", self.non_json),
        }
    }

    /// Vault's own errors, on one line.
    fn errors(&self) -> String {
        let errors = self.body["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // Vault joins several errors into one text: `2 errors occurred:`, then a line with a leading star for each.
        let lines = errors.flat_map(str::lines).map(|line| line.trim().trim_start_matches("* "));
        lines
            .filter(|line| !line.is_empty() && !line.ends_with("occurred:"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Runs `work` with the timeout of background work.
pub(crate) async fn with_background_timeout<T>(
    steps: &Steps,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(BACKGROUND_TIMEOUT, work).await.unwrap_or_else(|_| Err(timed_out(steps)))
}

/// Runs `work` with its own steps in a task. If the caller is cancelled, the task continues for at most the timeout of background work.
pub(crate) async fn run_to_its_end<T, F>(
    steps: &Steps,
    step: &'static str,
    work: impl FnOnce(Arc<Steps>) -> F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let own = Arc::new(Steps::new());
    own.begin(step);
    steps.follow(own.clone());
    let work = work(own.clone());
    let (_caller, dropped) = oneshot::channel::<()>();
    let cancelled = async {
        drop(dropped.await);
        sleep(BACKGROUND_TIMEOUT).await;
    };
    let task = tokio::spawn(async move {
        tokio::select! {
            result = work => result,
            () = cancelled => Err(timed_out(&own)),
        }
    });
    task.await.unwrap_or_else(|error| Err(Failure::msg(step, error.to_string())))
}

fn timed_out(steps: &Steps) -> Failure {
    let reason = format!("no answer within {} s", BACKGROUND_TIMEOUT.as_secs());
    Failure::msg(steps.current(), reason)
}

/// Describes a body that is not JSON. A short plain text is often the reason itself, for instance that TLS is expected.
fn describe_non_json(response: &Response<Bytes>) -> String {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default();
    let text = std::str::from_utf8(response.body()).unwrap_or_default().trim();
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
        let response = Response::builder().status(status).header("content-type", content_type);
        let response = response.body(Bytes::copy_from_slice(body.as_bytes())).expect("a response");
        assert_eq!(ApiResponse::new(&response).error_text(), expected);
    }

    #[test]
    fn a_response_with_too_many_values_is_not_parsed() {
        let body = format!("[{}0]", "0,".repeat(MAX_VALUES));
        check(200, "application/json", &body, "status 200, not Vault: more than 65536 values");
    }

    #[test]
    fn an_error_response_is_described_by_vaults_own_errors() {
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
    fn a_response_of_another_server_is_described_as_such() {
        check(200, "text/html; charset=utf-8", "<html>", "status 200, not Vault: text/html");
        check(200, "", "", "status 200, not Vault: no JSON");
        check(400, "text/plain", "TLS, please\n", "status 400, not Vault: TLS, please");
        check(404, "application/json", r#"{"errors":[]}"#, "status 404");
        check(307, "text/html", "", "answered with a redirect (307), which is not followed");
    }
}
