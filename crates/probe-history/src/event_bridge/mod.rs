//! The way of an event on AWS: a bus, a rule, an API destination and its connection.

mod calls;
mod links;
mod settings;

use aws_client::{Aws, Scope};
use aws_sdk_eventbridge::Client;
use probe::{Failure, Grant, Steps};

use self::links::{Arn, Bound};

/// Which link a check speaks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Link {
    Credentials,
    Rule,
    ApiDestination,
    Connection,
}

/// One pipeline in one region of one account.
pub(crate) struct EventBridge {
    aws: Aws,
    client: Client,
    target: String,
    bus: String,
    rule: String,
    destination: String,
    connection: String,
}

/// The step in which the bus is asked for.
const BUS: &str = "bus";
/// The step in which the rule is asked for.
const RULE: &str = "rule";
/// The step in which the rule's targets are asked for.
const TARGETS: &str = "targets";
/// The step in which the API destination is asked for.
const DESTINATION: &str = "api destination";
/// The step in which the connection is asked for.
const CONNECTION: &str = "connection";

impl EventBridge {
    /// `host:port`.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Whether this one link is whole; what another link lacks is for its own check to say.
    pub(crate) async fn check(&self, steps: &Steps, link: Link) -> Result<(), Failure> {
        match link {
            Link::Credentials => self.describe_bus(steps).await,
            Link::Rule => self.check_rule(steps).await,
            Link::ApiDestination => self.check_destination(steps).await,
            Link::Connection => self.check_connection(steps).await,
        }
    }

    /// What it takes to check this link: a link that leads to another by its name asks for that one, too.
    pub(crate) fn grants(&self, link: Link) -> Vec<Grant> {
        let rule = || match self.bus.as_str() {
            "default" => format!("rule/{}", self.rule),
            bus => format!("rule/{bus}/{}", self.rule),
        };
        let destination = || {
            self.grant("DescribeApiDestination", &format!("api-destination/{}", self.destination))
        };
        let connection =
            || self.grant("DescribeConnection", &format!("connection/{}", self.connection));
        match link {
            Link::Credentials => {
                vec![self.grant("DescribeEventBus", &format!("event-bus/{}", self.bus))]
            }
            Link::Rule => vec![
                self.grant("DescribeRule", &rule()),
                self.grant("ListTargetsByRule", &rule()),
                destination(),
            ],
            Link::ApiDestination => vec![destination(), connection()],
            Link::Connection => vec![connection()],
        }
    }

    /// What it takes to put an event on the bus.
    pub(crate) fn grant_to_put(&self) -> Grant {
        self.grant("PutEvents", &format!("event-bus/{}", self.bus))
    }

    fn grant(&self, action: &str, name: &str) -> Grant {
        self.aws.grant(&format!("events:{action}"), Scope::Region, name)
    }

    async fn check_rule(&self, steps: &Steps) -> Result<(), Failure> {
        let state = self.rule_state(steps).await?;
        links::rule(&self.rule, &state).map_err(|reason| Failure::msg(RULE, reason))?;
        let targets = self.targets(steps).await?;
        let targets: Vec<_> = targets.iter().map(|target| Arn(target)).collect();
        let mut bound = links::targets(&self.rule, &targets, &self.destination);
        if let Ok(Bound::ByName(arn)) = bound {
            let known = self.describe_destination(steps).await?.map(|destination| destination.arn);
            bound = links::same("API destination", &arn, known.as_deref());
        }
        bound.map(drop).map_err(|reason| Failure::msg(TARGETS, reason))
    }

    async fn check_destination(&self, steps: &Steps) -> Result<(), Failure> {
        let wrong = |reason: String| Failure::msg(DESTINATION, reason);
        let Some(destination) = self.describe_destination(steps).await? else {
            return Err(wrong(format!("there is no API destination `{}`", self.destination)));
        };
        let arn = Arn(&destination.connection);
        let mut bound = links::destination(&destination.state, &arn, &self.connection);
        if let Ok(Bound::ByName(arn)) = bound {
            let known = self.describe_connection(steps).await?.map(|connection| connection.arn);
            bound = links::same("connection", &arn, known.as_deref());
        }
        bound.map(drop).map_err(wrong)
    }

    async fn check_connection(&self, steps: &Steps) -> Result<(), Failure> {
        let wrong = |reason: String| Failure::msg(CONNECTION, reason);
        match self.describe_connection(steps).await? {
            Some(connection) => {
                links::connection(&connection.state, &connection.reason).map_err(wrong)
            }
            None => Err(wrong(format!("there is no connection `{}`", self.connection))),
        }
    }
}
