//! The stages of the pipeline on AWS: bus, rule, API destination and connection.

mod calls;
mod sample_event;
mod settings;
mod stages;

use aws_client::{AwsContext, Scope};
use aws_sdk_eventbridge::Client;
use probe::{Failure, Grant, Steps};

use self::calls::Rule;
use self::sample_event::SampleEvent;
use self::stages::{Arn, Reference};

/// A stage with its own check.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Credentials,
    Rule,
    ApiDestination,
    Connection,
}

/// The stages of one pipeline, in one region of one account.
pub(crate) struct EventBridge {
    aws: AwsContext,
    client: Client,
    target: String,
    bus: String,
    rule: String,
    destination: String,
    connection: String,
    /// The event that the rule must match, or why it is not known.
    sample_event: Option<Result<SampleEvent, Failure>>,
}

/// The step that describes the bus.
const BUS: &str = "bus";
/// The step that describes the rule.
const RULE: &str = "rule";
/// The step that matches the sample event.
const PATTERN: &str = "pattern";
/// The step that lists the rule's targets.
const TARGETS: &str = "targets";
/// The step that describes the API destination.
const DESTINATION: &str = "api destination";
/// The step that describes the connection.
const CONNECTION: &str = "connection";

impl EventBridge {
    /// The target, as `host:port`.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Verifies one stage and its reference to the next. Defects of the next stage are reported by its own check.
    pub(crate) async fn check(&self, steps: &Steps, stage: Stage) -> Result<(), Failure> {
        match stage {
            Stage::Credentials => self.describe_bus(steps).await,
            Stage::Rule => self.check_rule(steps).await,
            Stage::ApiDestination => self.check_destination(steps).await,
            Stage::Connection => self.check_connection(steps).await,
        }
    }

    /// The permissions to check a stage and to describe the next one, to which it refers.
    pub(crate) fn grants(&self, stage: Stage) -> Vec<Grant> {
        let rule = || match self.bus.as_str() {
            "default" => format!("rule/{}", self.rule),
            bus => format!("rule/{bus}/{}", self.rule),
        };
        let destination = || {
            self.grant("DescribeApiDestination", &format!("api-destination/{}", self.destination))
        };
        let connection =
            || self.grant("DescribeConnection", &format!("connection/{}", self.connection));
        match stage {
            Stage::Credentials => {
                vec![self.grant("DescribeEventBus", &format!("event-bus/{}", self.bus))]
            }
            Stage::Rule => {
                let sample = self.sample_event.as_ref();
                let sample = sample.map(|_| self.aws.grant_on_any("events:TestEventPattern"));
                let rule =
                    ["DescribeRule", "ListTargetsByRule"].map(|action| self.grant(action, &rule()));
                rule.into_iter().chain([destination()]).chain(sample).collect()
            }
            Stage::ApiDestination => vec![destination(), connection()],
            Stage::Connection => vec![connection()],
        }
    }

    /// The permission to put an event on the bus.
    pub(crate) fn grant_to_put(&self) -> Grant {
        self.grant("PutEvents", &format!("event-bus/{}", self.bus))
    }

    fn grant(&self, action: &str, name: &str) -> Grant {
        self.aws.grant(&format!("events:{action}"), Scope::Region, name)
    }

    async fn check_rule(&self, steps: &Steps) -> Result<(), Failure> {
        let rule = self.describe_rule(steps).await?;
        stages::verify_rule(&self.rule, &rule.state)
            .map_err(|reason| Failure::msg(RULE, reason))?;
        if let Some(event) = &self.sample_event {
            let event = event.as_ref().map_err(Failure::clone)?;
            self.check_pattern(steps, &rule, event).await?;
        }
        let targets = self.targets(steps).await?;
        let targets: Vec<_> = targets.iter().map(|target| Arn(target)).collect();
        let mut reference = stages::verify_targets(&self.rule, &targets, &self.destination);
        if let Ok(Reference::ByName(arn)) = reference {
            let current =
                self.describe_destination(steps).await?.map(|destination| destination.arn);
            reference = stages::verify_reference("API destination", &arn, current.as_deref());
        }
        reference.map(drop).map_err(|reason| Failure::msg(TARGETS, reason))
    }

    async fn check_pattern(
        &self,
        steps: &Steps,
        rule: &Rule,
        event: &SampleEvent,
    ) -> Result<(), Failure> {
        let failed = |reason: String| Err(Failure::msg(PATTERN, reason));
        if rule.pattern.is_empty() {
            return failed(format!("the rule `{}` has no event pattern", self.rule));
        }
        if self.matches(steps, &rule.pattern, &event.json(Arn(&rule.arn))).await? {
            return Ok(());
        }
        let (name, pattern) = (&self.rule, &rule.pattern);
        failed(format!("the rule `{name}` does not match `sample_event`: its pattern is {pattern}"))
    }

    async fn check_destination(&self, steps: &Steps) -> Result<(), Failure> {
        let failed = |reason: String| Failure::msg(DESTINATION, reason);
        let Some(destination) = self.describe_destination(steps).await? else {
            return Err(failed(format!("there is no API destination `{}`", self.destination)));
        };
        let arn = Arn(&destination.connection);
        let mut reference = stages::verify_destination(&destination.state, &arn, &self.connection);
        if let Ok(Reference::ByName(arn)) = reference {
            let current = self.describe_connection(steps).await?.map(|connection| connection.arn);
            reference = stages::verify_reference("connection", &arn, current.as_deref());
        }
        reference.map(drop).map_err(failed)
    }

    async fn check_connection(&self, steps: &Steps) -> Result<(), Failure> {
        let failed = |reason: String| Failure::msg(CONNECTION, reason);
        match self.describe_connection(steps).await? {
            Some(connection) => {
                stages::verify_connection(&connection.state, &connection.reason).map_err(failed)
            }
            None => Err(failed(format!("there is no connection `{}`", self.connection))),
        }
    }
}
