//! The settings of the pipeline on AWS.

use aws_client::Aws;
use aws_sdk_eventbridge::Client;
use probe::SharedResources;
use probe::config::Fields;

use super::EventBridge;

impl EventBridge {
    /// Reads `bus`, `rule`, `api_destination`, `connection` and the settings of [`Aws::read`]; what is wrong is noted.
    pub(crate) fn read(shared: &SharedResources, fields: &mut Fields<'_>) -> Option<Self> {
        let bus = name(fields, "bus");
        let rule = name(fields, "rule");
        let destination = name(fields, "api_destination");
        let connection = name(fields, "connection");
        let aws = Aws::read(fields, shared, None);
        let aws = aws?;
        Some(Self {
            client: Client::new(aws.config()),
            target: aws.target(&format!("events.{}", aws.region())),
            aws,
            bus: bus?,
            rule: rule?,
            destination: destination?,
            connection: connection?,
        })
    }
}

fn name(fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
    let name: String = fields.required(key)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    if name.is_empty() || name.len() > 256 || !name.chars().all(fits) {
        fields.error(key, "expected a name of letters, digits, `.`, `-` and `_`, not an ARN");
        return None;
    }
    Some(name)
}
