//! Reads the state of queues from the management plugin: AMQP reports only their depth.
//!
//! The API: <https://www.rabbitmq.com/docs/http-api-reference>.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Response, StatusCode};
use http_client::{Client, secret_header};
use net::TlsSettings;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use probe::config::{Fields, Url, basic_auth};
use probe::step::AUTHENTICATE;
use probe::{Failure, Secret, Steps};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

const STEP: &str = "management";

/// The key of the API's URL.
const KEY: &str = "management";

/// The API of a broker, as one user.
pub(crate) struct Management {
    client: Client,
    /// The path of a virtual host's queues.
    path: String,
    is_encrypted: bool,
    username: String,
    authorization: HeaderValue,
}

/// What the API reports about a queue. The statistics of a new queue are absent for some seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct QueueInfo {
    #[serde(rename = "type")]
    kind: String,
    state: Option<String>,
    #[serde(skip)]
    replicas: Option<Replicas>,
    consumers: Option<u64>,
    messages_unacknowledged: Option<u64>,
    message_bytes_ready: Option<u64>,
    arguments: ArgumentLimits,
    effective_policy_definition: PolicyLimits,
}

/// The members of a quorum queue or a stream. The answer with statistics has these keys as well, some of them twice, and as of some seconds ago.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Replicas {
    leader: Option<String>,
    members: Vec<IgnoredAny>,
    online: Vec<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArgumentLimits {
    #[serde(rename = "x-max-length")]
    max_length: Option<u64>,
    #[serde(rename = "x-max-length-bytes")]
    max_length_bytes: Option<u64>,
    #[serde(rename = "x-overflow")]
    overflow: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct PolicyLimits {
    max_length: Option<u64>,
    max_length_bytes: Option<u64>,
    overflow: Option<String>,
}

/// An error response of the API.
#[derive(Default, Deserialize)]
struct ApiError {
    reason: String,
}

impl Management {
    /// Reads `management`. Without a user in it, the user is that of `broker`. Returns `None` if it is absent, or wrong, which is reported.
    pub(crate) fn read(
        fields: &mut Fields<'_>,
        broker: Option<&Url>,
        virtual_host: Option<&str>,
        tls: Option<&TlsSettings>,
    ) -> Option<Self> {
        let url = fields.optional_url(KEY, &["http", "https"])?;
        if !fields.has("queues") {
            fields.error(KEY, "expected `queues` beside it");
        }
        if url.text().expose().contains(['?', '#']) {
            fields.error(KEY, "expected a URL without query and fragment");
        }
        if url.path().trim_end_matches('/').ends_with("/api") {
            fields.error(KEY, "expected a URL without `/api`, which is added to it");
        }
        let (broker, virtual_host, tls) = (broker?, virtual_host?, tls?);
        let user = [&url, broker].into_iter().find(|url| !url.username().is_empty());
        let username = user.map_or("guest", Url::username).to_owned();
        let password = match user {
            Some(user) => user.password().map_or("", Secret::expose),
            None => "guest",
        };
        let authorization = secret_header(&basic_auth(&username, password))?;
        Some(Self {
            client: Client::new(&url, tls.clone()),
            path: format!(
                "{}/api/queues/{}",
                url.path().trim_end_matches('/'),
                encode(virtual_host)
            ),
            is_encrypted: url.scheme() == "https",
            username,
            authorization,
        })
    }

    /// Whether the API is used with TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The user of the API.
    pub(crate) fn username(&self) -> &str {
        &self.username
    }

    /// Reads the state of the queue `name`, or `None` if it does not exist.
    pub(crate) async fn queue(
        &self,
        steps: &Steps,
        name: &str,
    ) -> Result<Option<QueueInfo>, Failure> {
        let path = format!("{}/{}", self.path, encode(name));
        let Some(mut queue): Option<QueueInfo> = self.get(steps, &path).await? else {
            return Ok(None);
        };
        if matches!(queue.kind.as_str(), "quorum" | "stream") {
            queue.replicas = self.get(steps, &format!("{path}?disable_stats=true")).await?;
        }
        Ok(Some(queue))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        steps: &Steps,
        path: &str,
    ) -> Result<Option<T>, Failure> {
        let request = Request::get(path).header(AUTHORIZATION, &self.authorization);
        let request = request.body(Bytes::new()).map_err(|error| Failure::new(STEP, error))?;
        let response = self.client.send(steps, STEP, request).await;
        let response = response.map_err(|failure| self.in_context(failure))?;
        match response.status() {
            StatusCode::OK => serde_json::from_slice(response.body()).map(Some).map_err(|_| {
                self.in_context(Failure::msg(STEP, "the answer does not describe a queue"))
            }),
            StatusCode::NOT_FOUND if is_api_error(&response) => Ok(None),
            _ => Err(self.in_context(refusal(&response))),
        }
    }

    fn in_context(&self, failure: Failure) -> Failure {
        failure.in_context(format!("management at {}", self.client.target()))
    }
}

impl QueueInfo {
    /// What clients of the queue cannot do, whatever its depth.
    pub(crate) fn outage(&self) -> Option<String> {
        if let Some(Replicas { leader, members, online }) = &self.replicas {
            let (members, online) = (members.len(), online.len());
            // Old versions do not report the members of a stream.
            if members > 0 && online * 2 <= members {
                return Some(format!("has no quorum: {online} of {members} members are online"));
            }
            // The leader of a stream is not reported.
            if self.kind == "quorum" && leader.as_deref().is_none_or(str::is_empty) {
                return Some("has no leader".to_owned());
            }
        }
        let state = self.state.as_deref()?;
        let is_out = matches!(state, "crashed" | "down" | "minority" | "stopped" | "terminated");
        is_out.then(|| format!("is {state}"))
    }

    /// Why the queue rejects messages if this many wait.
    pub(crate) fn rejection(&self, messages: u64) -> Option<String> {
        let (arguments, policy) = (&self.arguments, &self.effective_policy_definition);
        let overflow = arguments.overflow.as_ref().or(policy.overflow.as_ref())?;
        if !overflow.starts_with("reject-publish") {
            return None;
        }
        // Of an argument and a policy, the lower limit applies.
        let lower = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        if let Some(limit) = lower(arguments.max_length, policy.max_length)
            && messages >= limit
        {
            return Some(format!("rejects messages: {messages} waiting, its limit is {limit}"));
        }
        let limit = lower(arguments.max_length_bytes, policy.max_length_bytes)?;
        let bytes = self.message_bytes_ready.filter(|bytes| *bytes >= limit)?;
        Some(format!("rejects messages: {bytes} bytes waiting, its limit is {limit} bytes"))
    }

    /// Whether the queue is a stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.kind == "stream"
    }

    /// The number of consumers if AMQP does not report it.
    pub(crate) fn stream_consumers(&self) -> Option<u64> {
        self.consumers.filter(|_| self.is_stream())
    }

    /// Whether the queue is a stream without statistics yet.
    pub(crate) fn has_unknown_consumers(&self) -> bool {
        self.is_stream() && self.consumers.is_none()
    }

    /// The number of messages that consumers have received and not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.messages_unacknowledged.unwrap_or_default()
    }
}

/// Encodes a part of a path.
fn encode(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

fn is_api_error(response: &Response<Bytes>) -> bool {
    serde_json::from_slice::<ApiError>(response.body()).is_ok()
}

/// The failure of a request that was not answered as expected.
fn refusal(response: &Response<Bytes>) -> Failure {
    let status = response.status();
    let step = if status == StatusCode::UNAUTHORIZED { AUTHENTICATE } else { STEP };
    let reason = serde_json::from_slice::<ApiError>(response.body()).unwrap_or_default().reason;
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    Failure::msg(step, format!("status {status}{reason}"))
}
