//! The bus of the history with all that hangs on it, and the ways to break each link.

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::error::Result;
use crate::history::API_KEY;

/// The bus.
pub const BUS: &str = "history";
/// The rule that sends the events of [`SOURCES`] to [`DESTINATION`].
pub const RULE: &str = "to-history";
/// The API destination, which is the history service.
pub const DESTINATION: &str = "history";
/// The connection of [`DESTINATION`], with the history service's API key.
pub const CONNECTION: &str = "history";
/// Who puts events on the bus: the application, and the gateway.
pub const SOURCES: [&str; 2] = ["app", "health-gateway"];

/// The one target of [`RULE`].
const TARGET: &str = "history";

/// A bus that is there, on a private server or the shared one.
pub struct Bus<'a> {
    aws: &'a Aws,
    history: String,
}

impl<'a> Bus<'a> {
    /// Makes it on this server, which reaches the history service at this host and port.
    pub(crate) fn make(aws: &'a Aws, history: &str) -> Result<Self> {
        let bus = Self { aws, history: history.to_owned() };
        bus.call("create_event_bus", &json!({"Name": BUS}))?;
        let connection = bus.make_connection(CONNECTION)?;
        let destination = bus.make_destination(DESTINATION, &connection)?;
        bus.call(
            "put_rule",
            &json!({
                "Name": RULE,
                "EventBusName": BUS,
                "EventPattern": json!({"source": SOURCES}).to_string(),
            }),
        )?;
        bus.target(&destination)?;
        Ok(bus)
    }

    /// Disables the rule.
    pub fn disable_rule(&self) -> Result<()> {
        self.call("disable_rule", &json!({"Name": RULE, "EventBusName": BUS})).map(drop)
    }

    /// Deletes the rule.
    pub fn remove_rule(&self) -> Result<()> {
        self.remove_target()?;
        self.call("delete_rule", &json!({"Name": RULE, "EventBusName": BUS})).map(drop)
    }

    /// Takes the target from the rule.
    pub fn remove_target(&self) -> Result<()> {
        let target = json!({"Rule": RULE, "EventBusName": BUS, "Ids": [TARGET]});
        self.call("remove_targets", &target).map(drop)
    }

    /// Has the rule target another API destination, called `other`, which works as well.
    pub fn target_another_destination(&self) -> Result<()> {
        let connection = self.call("describe_connection", &json!({"Name": CONNECTION}))?;
        let other = self.make_destination("other", &connection["ConnectionArn"])?;
        self.target(&other)
    }

    /// Binds the API destination to another connection, called `other`, which works as well.
    pub fn bind_to_another_connection(&self) -> Result<()> {
        let other = self.make_connection("other")?;
        let destination = json!({"Name": DESTINATION, "ConnectionArn": other});
        self.call("update_api_destination", &destination).map(drop)
    }

    /// Deletes the API destination.
    pub fn remove_destination(&self) -> Result<()> {
        self.call("delete_api_destination", &json!({"Name": DESTINATION})).map(drop)
    }

    /// Replaces the connection by one with OAuth, which this server never finds authorized: it stays `AUTHORIZING`, and its destination is inactive.
    pub fn make_connection_wait(&self) -> Result<()> {
        let oauth = json!({
            "ClientParameters": {"ClientID": "app", "ClientSecret": API_KEY},
            "AuthorizationEndpoint": self.url("token"),
            "HttpMethod": "POST",
        });
        let connection = json!({
            "Name": CONNECTION,
            "AuthorizationType": "OAUTH_CLIENT_CREDENTIALS",
            "AuthParameters": {"OAuthParameters": oauth},
        });
        self.remove_connection()?;
        let made = self.call("create_connection", &connection)?;
        let destination = json!({"Name": DESTINATION, "ConnectionArn": made["ConnectionArn"]});
        self.call("update_api_destination", &destination).map(drop)
    }

    /// Deletes the connection.
    pub fn remove_connection(&self) -> Result<()> {
        self.call("delete_connection", &json!({"Name": CONNECTION})).map(drop)
    }

    /// Calls an operation of `EventBridge` by boto3's names.
    pub fn call(&self, operation: &str, parameters: &Value) -> Result<Value> {
        self.aws.call("events", operation, parameters)
    }

    /// Gives the connection's ARN.
    fn make_connection(&self, name: &str) -> Result<Value> {
        let key = json!({"ApiKeyName": "X-Api-Key", "ApiKeyValue": API_KEY});
        let connection = json!({
            "Name": name,
            "AuthorizationType": "API_KEY",
            "AuthParameters": {"ApiKeyAuthParameters": key},
        });
        let mut answer = self.call("create_connection", &connection)?;
        Ok(answer["ConnectionArn"].take())
    }

    /// Gives the destination's ARN.
    fn make_destination(&self, name: &str, connection: &Value) -> Result<Value> {
        let destination = json!({
            "Name": name,
            "ConnectionArn": connection,
            "InvocationEndpoint": self.url("events"),
            "HttpMethod": "POST",
        });
        let mut answer = self.call("create_api_destination", &destination)?;
        Ok(answer["ApiDestinationArn"].take())
    }

    fn target(&self, destination: &Value) -> Result<()> {
        let target = json!({"Id": TARGET, "Arn": destination});
        let targets = json!({"Rule": RULE, "EventBusName": BUS, "Targets": [target]});
        self.call("put_targets", &targets).map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.history)
    }
}
