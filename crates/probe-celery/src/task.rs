//! The canary task: Celery's built-in `celery.accumulate`, which returns its arguments.
//!
//! The message: <https://docs.celeryq.dev/en/stable/internals/protocol.html>, version 2. The task: `celery/app/builtins.py`.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The prefix of the ids of all canary tasks.
pub(crate) const PREFIX: &str = "health-gateway-";

/// One canary task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    id: String,
    expires: SystemTime,
}

impl Task {
    /// A new task, which a worker discards if it receives it after `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        let id = format!("{PREFIX}{:032x}", rand::random::<u128>());
        Self { id, expires: SystemTime::now() + lifetime }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn headers(&self) -> Value {
        // Formatting fails only for years after 9999.
        let expires = OffsetDateTime::from(self.expires).format(&Rfc3339).ok();
        json!({
            "lang": "py",
            "task": "celery.accumulate",
            "id": self.id,
            "root_id": self.id,
            "parent_id": null,
            "group": null,
            "expires": expires,
            "eta": null,
            "retries": 0,
            "timelimit": [null, null],
            "argsrepr": "('health-gateway',)",
            "kwargsrepr": "{}",
            "origin": "health-gateway",
            "ignore_result": false,
        })
    }

    /// The arguments, the keyword arguments and an empty `embed`.
    pub(crate) fn content() -> Value {
        let embed = json!({"callbacks": null, "errbacks": null, "chain": null, "chord": null});
        json!([["health-gateway"], {}, embed])
    }
}
