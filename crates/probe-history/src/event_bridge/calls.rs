//! The calls of `EventBridge`'s API, each with the permission that it needs.

use aws_client::Refusal;
use aws_sdk_eventbridge::types::builders::PutEventsRequestEntryBuilder;
use probe::{Failure, Steps};

use super::{BUS, CONNECTION, DESTINATION, EventBridge, RULE, TARGETS};

/// What AWS says when there is nothing of the name asked for.
const NOT_FOUND: &str = "ResourceNotFoundException";

/// The step in which an event is put on the bus.
const PUT: &str = "put event";

/// An API destination.
pub(super) struct Destination {
    pub(super) arn: String,
    pub(super) state: String,
    /// The ARN of its connection.
    pub(super) connection: String,
}

/// A connection.
pub(super) struct Connection {
    pub(super) arn: String,
    pub(super) state: String,
    /// Why it is in this state, if that is told.
    pub(super) reason: String,
}

impl EventBridge {
    /// Puts one event on the bus; gives the id under which it was accepted.
    pub(crate) async fn put(
        &self,
        steps: &Steps,
        event: PutEventsRequestEntryBuilder,
    ) -> Result<String, Failure> {
        let event = event.event_bus_name(&self.bus).build();
        let request = || self.client.put_events().entries(event.clone()).send();
        let permission = format!("`events:PutEvents` on the bus `{}`", self.bus);
        let answer = self.aws.call(steps, PUT, &permission, request).await;
        let answer = answer.map_err(|refusal| self.no_bus(PUT, refusal))?;
        let entry = answer.entries().first();
        match entry.and_then(|entry| entry.event_id()) {
            Some(id) if answer.failed_entry_count() == 0 => Ok(id.to_owned()),
            _ => {
                let code = entry.and_then(|entry| entry.error_code()).unwrap_or("no reason given");
                let message = entry.and_then(|entry| entry.error_message()).unwrap_or_default();
                let colon = if message.is_empty() { "" } else { ": " };
                let reason = format!("the bus does not accept the event: {code}{colon}{message}");
                Err(Failure::msg(PUT, reason))
            }
        }
    }

    /// The cheapest call that is about the bus.
    pub(super) async fn describe_bus(&self, steps: &Steps) -> Result<(), Failure> {
        let request = || self.client.describe_event_bus().name(&self.bus).send();
        let permission = format!("`events:DescribeEventBus` on the bus `{}`", self.bus);
        let answer = self.aws.call(steps, BUS, &permission, request).await;
        answer.map(drop).map_err(|refusal| self.no_bus(BUS, refusal))
    }

    /// The state of the rule.
    pub(super) async fn rule_state(&self, steps: &Steps) -> Result<String, Failure> {
        let request = || {
            let request = self.client.describe_rule().name(&self.rule);
            request.event_bus_name(&self.bus).send()
        };
        let permission = format!("`events:DescribeRule` on the rule `{}`", self.rule);
        let answer = self.aws.call(steps, RULE, &permission, request).await;
        let answer = answer.map_err(|refusal| self.no_rule(RULE, refusal))?;
        Ok(answer.state().map(|state| state.as_str().to_owned()).unwrap_or_default())
    }

    /// The ARNs of the rule's targets. An answer has up to a hundred, and a rule a handful.
    pub(super) async fn targets(&self, steps: &Steps) -> Result<Vec<String>, Failure> {
        let request = || {
            let request = self.client.list_targets_by_rule().rule(&self.rule);
            request.event_bus_name(&self.bus).send()
        };
        let permission = format!("`events:ListTargetsByRule` on the rule `{}`", self.rule);
        let answer = self.aws.call(steps, TARGETS, &permission, request).await;
        let answer = answer.map_err(|refusal| self.no_rule(TARGETS, refusal))?;
        Ok(answer.targets().iter().map(|target| target.arn().to_owned()).collect())
    }

    /// The API destination, if there is one of this name.
    pub(super) async fn describe_destination(
        &self,
        steps: &Steps,
    ) -> Result<Option<Destination>, Failure> {
        let name = &self.destination;
        let request = || self.client.describe_api_destination().name(name).send();
        let permission = format!("`events:DescribeApiDestination` on the API destination `{name}`");
        let answer = self.aws.call(steps, DESTINATION, &permission, request).await;
        let state = |state: &aws_sdk_eventbridge::types::ApiDestinationState| state.to_string();
        Ok(if_there(answer)?.map(|answer| Destination {
            arn: text(answer.api_destination_arn()),
            state: answer.api_destination_state().map(state).unwrap_or_default(),
            connection: text(answer.connection_arn()),
        }))
    }

    /// The connection, if there is one of this name.
    pub(super) async fn describe_connection(
        &self,
        steps: &Steps,
    ) -> Result<Option<Connection>, Failure> {
        let name = &self.connection;
        let request = || self.client.describe_connection().name(name).send();
        let permission = format!("`events:DescribeConnection` on the connection `{name}`");
        let answer = self.aws.call(steps, CONNECTION, &permission, request).await;
        let state = |state: &aws_sdk_eventbridge::types::ConnectionState| state.to_string();
        Ok(if_there(answer)?.map(|answer| Connection {
            arn: text(answer.connection_arn()),
            state: answer.connection_state().map(state).unwrap_or_default(),
            reason: text(answer.state_reason()),
        }))
    }

    fn no_bus(&self, step: &'static str, refusal: Refusal) -> Failure {
        match refusal.code() {
            NOT_FOUND => Failure::msg(step, format!("there is no bus `{}`", self.bus)),
            _ => refusal.into(),
        }
    }

    fn no_rule(&self, step: &'static str, refusal: Refusal) -> Failure {
        match refusal.code() {
            NOT_FOUND => {
                let reason = format!("there is no rule `{}` on the bus `{}`", self.rule, self.bus);
                Failure::msg(step, reason)
            }
            _ => refusal.into(),
        }
    }
}

fn if_there<T>(answer: Result<T, Refusal>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(refusal) if refusal.code() == NOT_FOUND => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}
