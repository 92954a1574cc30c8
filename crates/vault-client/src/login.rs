//! The login methods by which a session obtains its token.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::StatusCode;
use probe::{Cause, Failure, LoginBackoff, Secret, Steps, read_file};
use serde_json::{Value, json};

use crate::api::{ApiClient, ApiResponse, wipe};
use crate::token::Token;

/// Where Kubernetes mounts the token of a pod's service account.
pub(crate) const SERVICE_ACCOUNT_TOKEN: &str =
    "/var/run/secrets/kubernetes.io/serviceaccount/token";

const STEP: &str = "login";
/// How long reading the token of the service account may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A login method with its credentials.
#[derive(Debug)]
pub(crate) enum Login {
    /// The configuration contains the token itself.
    Token(Token),
    /// `AppRole`, for machines. The secret ID is empty if the role does not require one.
    AppRole { mount: String, role_id: Secret, secret_id: Secret },
    /// The service account token of a pod, in a file that the kubelet replaces before the token expires.
    Kubernetes { mount: String, role: String, jwt_file: PathBuf },
}

impl Login {
    /// Obtains a token. A configured token is returned without a request, and credentials in `logins` that were refused are not sent before the pause ends.
    pub(crate) async fn log_in(
        &self,
        api: &ApiClient,
        logins: &LoginBackoff,
        steps: &Steps,
    ) -> Result<Token, Failure> {
        let (mount, mut body) = match self {
            Self::Token(token) => return Ok(token.clone()),
            Self::AppRole { mount, role_id, secret_id } => {
                (mount, json!({"role_id": role_id.expose(), "secret_id": secret_id.expose()}))
            }
            Self::Kubernetes { mount, role, jwt_file } => {
                let jwt = steps.run(STEP, read_jwt(jwt_file)).await?;
                logins.use_credentials(&jwt);
                (mount, json!({"role": role, "jwt": jwt.expose()}))
            }
        };
        let path = format!("auth/{mount}/login");
        let request = async {
            let requested_at = Instant::now();
            let response = api.call(steps, STEP, &path, None, Some(&body)).await?;
            Token::from_login(&response.body["auth"], requested_at)
                .ok_or_else(|| self.failure(&response))
        };
        let result = Box::pin(logins.attempt(request)).await;
        wipe(&mut body);
        result
    }

    fn failure(&self, response: &ApiResponse) -> Failure {
        let cause = Cause::msg(self.error_text(response));
        // 400 for unknown credentials, 403 for a locked user, among others.
        let refused = matches!(response.status.as_u16(), 400 | 401 | 403)
            && response.body["errors"].is_array();
        Failure::new(STEP, if refused { cause.login_refused() } else { cause })
    }

    fn error_text(&self, response: &ApiResponse) -> String {
        let method = match self {
            Self::Token(_) => "token",
            Self::AppRole { .. } => "approle",
            Self::Kubernetes { .. } => "kubernetes",
        };
        if let (Self::AppRole { .. }, StatusCode::FORBIDDEN) = (self, response.status) {
            // The answer is the same for an unknown mount and for a role that is locked after failed logins.
            return format!(
                "{method} login refused: {}: the mount does not exist, or the role is locked",
                response.error_text()
            );
        }
        if response.status.is_client_error() && response.body["errors"].is_array() {
            return format!("{method} login refused: {}", response.error_text());
        }
        if response.status.is_success() && response.body["auth"]["mfa_requirement"] != Value::Null {
            return format!("{method} login refused: a second factor is required");
        }
        format!("{method} login: {}", response.error_text())
    }
}

async fn read_jwt(path: &Path) -> Result<Secret, Cause> {
    let text = tokio::time::timeout(READ_TIMEOUT, read_file(path)).await.unwrap_or_else(|_| {
        Err(Cause::msg(format!("no answer within {} s", READ_TIMEOUT.as_secs())))
    });
    text.map(|text| Secret::new(text.trim()))
        .map_err(|cause| Cause::msg(format!("cannot read `{}`: {}", path.display(), cause.text())))
}
