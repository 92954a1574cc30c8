//! How a session gets its token.

use std::path::PathBuf;
use std::time::Instant;

use probe::{Cause, Failure, Secret, Steps};
use serde_json::{Value, json};

use crate::api::{Answer, Api};
use crate::token::Token;

/// Where Kubernetes puts the token of a pod's service account.
pub(crate) const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const STEP: &str = "login";

/// A way to get a token.
#[derive(Debug)]
pub(crate) enum Login {
    /// It is given.
    Token(Token),
    /// For machines: two halves of a credential, the second of which some roles do without.
    AppRole { mount: String, role_id: Secret, secret_id: Secret },
    /// For pods: the token of their service account, in a file that the kubelet replaces before it expires.
    Kubernetes { mount: String, role: String, jwt_file: PathBuf },
}

impl Login {
    /// Obtains a token; a given one needs no question to anybody.
    pub(crate) async fn log_in(&self, api: &Api, steps: &Steps) -> Result<Token, Failure> {
        let (mount, body) = match self {
            Self::Token(token) => return Ok(token.clone()),
            Self::AppRole { mount, role_id, secret_id } => {
                (mount, json!({"role_id": role_id.expose(), "secret_id": secret_id.expose()}))
            }
            Self::Kubernetes { mount, role, jwt_file } => {
                let jwt = steps.run(STEP, read(jwt_file)).await?;
                (mount, json!({"role": role, "jwt": jwt.expose()}))
            }
        };
        let path = format!("auth/{mount}/login");
        let asked = Instant::now();
        let answer = api.call(steps, STEP, &path, None, Some(&body)).await?;
        Token::from_login(&answer.body["auth"], asked)
            .ok_or_else(|| Failure::msg(STEP, self.refused(&answer)))
    }

    fn refused(&self, answer: &Answer) -> String {
        let method = match self {
            Self::Token(_) => "token",
            Self::AppRole { .. } => "approle",
            Self::Kubernetes { .. } => "kubernetes",
        };
        if answer.status.is_client_error() && answer.body["errors"].is_array() {
            return format!("{method} login refused: {}", answer.reason());
        }
        if answer.status.is_success() && answer.body["auth"]["mfa_requirement"] != Value::Null {
            return format!("{method} login refused: it demands a second factor");
        }
        format!("{method} login: {}", answer.reason())
    }
}

async fn read(path: &PathBuf) -> Result<Secret, Cause> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(Secret::new(text.trim())),
        Err(error) => {
            let cause = Cause::from(error);
            Err(Cause::msg(format!("cannot read `{}`: {}", path.display(), cause.text())))
        }
    }
}
