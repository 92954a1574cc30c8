//! An event as the application sends it, which the rule must match.

use probe::config::Fields;
use serde_json::{Map, Value, json};

use super::stages::Arn;

/// The parts of an event that rules usually match.
pub(crate) struct SampleEvent {
    source: String,
    detail_type: String,
    detail: Map<String, Value>,
}

impl SampleEvent {
    /// Reads `source`, `detail_type` and `detail`. Errors are reported in `fields`.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let source: Option<String> = fields.required("source");
        let detail_type: Option<String> = fields.required("detail_type");
        let detail: String = fields.with_default("detail", "{}".to_owned());
        let detail = serde_json::from_str(&detail);
        if detail.is_err() {
            fields.error("detail", "expected a JSON object");
        }
        Some(Self { source: source?, detail_type: detail_type?, detail: detail.ok()? })
    }

    /// The event in JSON, in the account and the region of `rule`.
    pub(super) fn json(&self, rule: Arn<'_>) -> String {
        let (region, account) = rule.region_and_account();
        json!({
            "version": "0",
            "id": "00000000-0000-0000-0000-000000000000",
            "time": "2026-01-01T00:00:00Z",
            "account": account,
            "region": region,
            "resources": [],
            "source": self.source,
            "detail-type": self.detail_type,
            "detail": self.detail,
        })
        .to_string()
    }
}
