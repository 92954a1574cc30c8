//! The settings of the pipeline's stages on AWS.

use aws_client::AwsContext;
use aws_sdk_eventbridge::Client;
use probe::SharedResources;
use probe::config::Fields;

use super::EventBridge;
use super::sample_event::SampleEvent;

impl EventBridge {
    /// Reads `bus`, `rule`, `api_destination`, `connection`, `sample_event` and the settings of [`AwsContext::read`]. Errors are reported in `fields`.
    pub(crate) fn read(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<Self> {
        let bus = name(fields, "bus");
        let rule = name(fields, "rule");
        let destination = name(fields, "api_destination");
        let connection = name(fields, "connection");
        let sample_event = fields.table("sample_event", SampleEvent::read);
        let aws = AwsContext::read(fields, shared, None)?;
        Some(Self {
            client: Client::new(aws.config()),
            target: aws.target(&format!("events.{}", aws.region())),
            aws,
            bus: bus?,
            rule: rule?,
            destination: destination?,
            connection: connection?,
            sample_event,
        })
    }
}

fn name(fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
    let name: String = fields.required(key)?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    if name.is_empty() || name.len() > 256 || !name.chars().all(is_allowed) {
        fields.error(key, "expected a name of letters, digits, `.`, `-` and `_`, not an ARN");
        return None;
    }
    Some(name)
}
