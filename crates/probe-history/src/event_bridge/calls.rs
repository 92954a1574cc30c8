//! The calls to `EventBridge`'s API, each with the permission that it needs.

use aws_client::CallError;
use aws_sdk_eventbridge::types::builders::PutEventsRequestEntryBuilder;
use probe::{Failure, Steps};

use super::{BUS, CONNECTION, DESTINATION, EventBridge, PATTERN, RULE, TARGETS};

/// The error code for a resource that does not exist.
const NOT_FOUND: &str = "ResourceNotFoundException";

/// The step that puts an event on the bus.
const PUT: &str = "put event";

/// The description of a rule.
pub(super) struct Rule {
    pub(super) arn: String,
    pub(super) state: String,
    /// The event pattern in JSON; empty for a rule with a schedule.
    pub(super) pattern: String,
}

/// The description of an API destination.
pub(super) struct ApiDestination {
    pub(super) arn: String,
    pub(super) state: String,
    /// The ARN of its connection.
    pub(super) connection: String,
}

/// The description of an `EventBridge` connection.
pub(super) struct EventBridgeConnection {
    pub(super) arn: String,
    pub(super) state: String,
    /// The reason for the state; empty if there is none.
    pub(super) reason: String,
}

impl EventBridge {
    /// Puts one event on the bus and returns its id there.
    pub(crate) async fn put(
        &self,
        steps: &Steps,
        event: PutEventsRequestEntryBuilder,
    ) -> Result<String, Failure> {
        let event = event.event_bus_name(&self.bus).build();
        let request = || self.client.put_events().entries(event.clone()).send();
        let permission = format!("`events:PutEvents` on the bus `{}`", self.bus);
        let result = self.aws.call(steps, PUT, &permission, request).await;
        let output = result.map_err(|error| self.bus_failure(PUT, error))?;
        let entry = output.entries().first();
        match entry.and_then(|entry| entry.event_id()) {
            Some(id) if output.failed_entry_count() == 0 => Ok(id.to_owned()),
            _ => {
                let code = entry.and_then(|entry| entry.error_code()).unwrap_or("no reason given");
                let message = entry.and_then(|entry| entry.error_message()).unwrap_or_default();
                let colon = if message.is_empty() { "" } else { ": " };
                let reason = format!("the bus rejected the event: {code}{colon}{message}");
                Err(Failure::msg(PUT, reason))
            }
        }
    }

    /// Describes the bus: the cheapest call that needs both valid credentials and the bus.
    pub(super) async fn describe_bus(&self, steps: &Steps) -> Result<(), Failure> {
        let request = || self.client.describe_event_bus().name(&self.bus).send();
        let permission = format!("`events:DescribeEventBus` on the bus `{}`", self.bus);
        let result = self.aws.call(steps, BUS, &permission, request).await;
        result.map(drop).map_err(|error| self.bus_failure(BUS, error))
    }

    /// Describes the rule.
    pub(super) async fn describe_rule(&self, steps: &Steps) -> Result<Rule, Failure> {
        let request = || {
            let request = self.client.describe_rule().name(&self.rule);
            request.event_bus_name(&self.bus).send()
        };
        let permission = format!("`events:DescribeRule` on the rule `{}`", self.rule);
        let result = self.aws.call(steps, RULE, &permission, request).await;
        let output = result.map_err(|error| self.rule_failure(RULE, error))?;
        Ok(Rule {
            arn: text(output.arn()),
            state: output.state().map(|state| state.as_str().to_owned()).unwrap_or_default(),
            pattern: text(output.event_pattern()),
        })
    }

    /// Whether `pattern` matches `event`, both in JSON.
    pub(super) async fn matches(
        &self,
        steps: &Steps,
        pattern: &str,
        event: &str,
    ) -> Result<bool, Failure> {
        let request =
            || self.client.test_event_pattern().event_pattern(pattern).event(event).send();
        let permission = "`events:TestEventPattern`";
        let output = self.aws.call(steps, PATTERN, permission, request).await?;
        Ok(output.result())
    }

    /// Returns the ARNs of the rule's targets. One page holds up to a hundred, more than a rule may have.
    pub(super) async fn targets(&self, steps: &Steps) -> Result<Vec<String>, Failure> {
        let request = || {
            let request = self.client.list_targets_by_rule().rule(&self.rule);
            request.event_bus_name(&self.bus).send()
        };
        let permission = format!("`events:ListTargetsByRule` on the rule `{}`", self.rule);
        let result = self.aws.call(steps, TARGETS, &permission, request).await;
        let output = result.map_err(|error| self.rule_failure(TARGETS, error))?;
        Ok(output.targets().iter().map(|target| target.arn().to_owned()).collect())
    }

    /// Describes the API destination, if it exists.
    pub(super) async fn describe_destination(
        &self,
        steps: &Steps,
    ) -> Result<Option<ApiDestination>, Failure> {
        let name = &self.destination;
        let request = || self.client.describe_api_destination().name(name).send();
        let permission = format!("`events:DescribeApiDestination` on the API destination `{name}`");
        let result = self.aws.call(steps, DESTINATION, &permission, request).await;
        let state = |state: &aws_sdk_eventbridge::types::ApiDestinationState| state.to_string();
        Ok(if_exists(result)?.map(|output| ApiDestination {
            arn: text(output.api_destination_arn()),
            state: output.api_destination_state().map(state).unwrap_or_default(),
            connection: text(output.connection_arn()),
        }))
    }

    /// Describes the connection, if it exists.
    pub(super) async fn describe_connection(
        &self,
        steps: &Steps,
    ) -> Result<Option<EventBridgeConnection>, Failure> {
        let name = &self.connection;
        let request = || self.client.describe_connection().name(name).send();
        let permission = format!("`events:DescribeConnection` on the connection `{name}`");
        let result = self.aws.call(steps, CONNECTION, &permission, request).await;
        let state = |state: &aws_sdk_eventbridge::types::ConnectionState| state.to_string();
        Ok(if_exists(result)?.map(|output| EventBridgeConnection {
            arn: text(output.connection_arn()),
            state: output.connection_state().map(state).unwrap_or_default(),
            reason: text(output.state_reason()),
        }))
    }

    fn bus_failure(&self, step: &'static str, error: CallError) -> Failure {
        match error.code() {
            NOT_FOUND => Failure::msg(step, format!("there is no bus `{}`", self.bus)),
            _ => error.into(),
        }
    }

    fn rule_failure(&self, step: &'static str, error: CallError) -> Failure {
        match error.code() {
            NOT_FOUND => {
                let reason = format!("there is no rule `{}` on the bus `{}`", self.rule, self.bus);
                Failure::msg(step, reason)
            }
            _ => error.into(),
        }
    }
}

fn if_exists<T>(result: Result<T, CallError>) -> Result<Option<T>, Failure> {
    match result {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.code() == NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}
