//! The task that every Celery application has built in, and that gives back what it is given.
//!
//! The message: <https://docs.celeryq.dev/en/stable/internals/protocol.html>, version 2. The task: `celery/app/builtins.py`.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What the ids of all canaries begin with.
pub(crate) const PREFIX: &str = "health-gateway-";

/// One canary.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    id: String,
    expires: SystemTime,
}

impl Task {
    /// A new one, which a worker throws away if it comes to it only after its `lifetime`.
    pub(crate) fn new(lifetime: Duration) -> Self {
        let id = format!("{PREFIX}{:032x}", rand::random::<u128>());
        Self { id, expires: SystemTime::now() + lifetime }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn headers(&self) -> Value {
        // A time that cannot be written is one that nobody's clock shows.
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

    /// Arguments, keyword arguments, and nothing to be called after it.
    pub(crate) fn body() -> String {
        let after = json!({"callbacks": null, "errbacks": null, "chain": null, "chord": null});
        json!([["health-gateway"], {}, after]).to_string()
    }
}
