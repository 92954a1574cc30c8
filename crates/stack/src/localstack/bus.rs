//! The history's event bus, its rule, API destination and connection, and ways to break them.

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
/// The connection of [`DESTINATION`], which contains the history service's API key.
pub const CONNECTION: &str = "history";
/// The sources of the events that [`RULE`] matches: the application and the gateway.
pub const SOURCES: [&str; 2] = ["app", "health-gateway"];

/// The one target of [`RULE`].
const TARGET: &str = "history";

/// An existing bus, on a private server or the shared one.
pub struct Bus<'a> {
    aws: &'a Aws,
    history: String,
}

impl<'a> Bus<'a> {
    /// Creates the bus on a server that reaches the history service at this host and port.
    pub(crate) fn create(aws: &'a Aws, history: &str) -> Result<Self> {
        let bus = Self { aws, history: history.to_owned() };
        bus.call("create_event_bus", &json!({"Name": BUS}))?;
        let connection = bus.create_connection(CONNECTION)?;
        let destination = bus.create_destination(DESTINATION, &connection)?;
        bus.call(
            "put_rule",
            &json!({
                "Name": RULE,
                "EventBusName": BUS,
                "EventPattern": json!({"source": SOURCES}).to_string(),
            }),
        )?;
        bus.put_target(&destination)?;
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

    /// Removes the target from the rule.
    pub fn remove_target(&self) -> Result<()> {
        let target = json!({"Rule": RULE, "EventBusName": BUS, "Ids": [TARGET]});
        self.call("remove_targets", &target).map(drop)
    }

    /// Points the rule to another API destination, `other`, which also works.
    pub fn target_another_destination(&self) -> Result<()> {
        let connection = self.call("describe_connection", &json!({"Name": CONNECTION}))?;
        let other = self.create_destination("other", &connection["ConnectionArn"])?;
        self.put_target(&other)
    }

    /// Binds the API destination to another connection, `other`, which also works.
    pub fn bind_to_another_connection(&self) -> Result<()> {
        let other = self.create_connection("other")?;
        let destination = json!({"Name": DESTINATION, "ConnectionArn": other});
        self.call("update_api_destination", &destination).map(drop)
    }

    /// Deletes the API destination.
    pub fn remove_destination(&self) -> Result<()> {
        self.call("delete_api_destination", &json!({"Name": DESTINATION})).map(drop)
    }

    /// Replaces the connection with an OAuth one, which stays `AUTHORIZING` on this server, so that its destination is inactive.
    pub fn leave_connection_authorizing(&self) -> Result<()> {
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
        let created = self.call("create_connection", &connection)?;
        let destination = json!({"Name": DESTINATION, "ConnectionArn": created["ConnectionArn"]});
        self.call("update_api_destination", &destination).map(drop)
    }

    /// Deletes the connection.
    pub fn remove_connection(&self) -> Result<()> {
        self.call("delete_connection", &json!({"Name": CONNECTION})).map(drop)
    }

    /// Calls an operation of `EventBridge`, with the names that boto3 uses.
    pub fn call(&self, operation: &str, parameters: &Value) -> Result<Value> {
        self.aws.call("events", operation, parameters)
    }

    /// Creates a connection, and returns its ARN.
    fn create_connection(&self, name: &str) -> Result<Value> {
        let key = json!({"ApiKeyName": "X-Api-Key", "ApiKeyValue": API_KEY});
        let connection = json!({
            "Name": name,
            "AuthorizationType": "API_KEY",
            "AuthParameters": {"ApiKeyAuthParameters": key},
        });
        let mut response = self.call("create_connection", &connection)?;
        Ok(response["ConnectionArn"].take())
    }

    /// Creates an API destination, and returns its ARN.
    fn create_destination(&self, name: &str, connection: &Value) -> Result<Value> {
        let destination = json!({
            "Name": name,
            "ConnectionArn": connection,
            "InvocationEndpoint": self.url("events"),
            "HttpMethod": "POST",
        });
        let mut response = self.call("create_api_destination", &destination)?;
        Ok(response["ApiDestinationArn"].take())
    }

    fn put_target(&self, destination: &Value) -> Result<()> {
        let target = json!({"Id": TARGET, "Arn": destination});
        let targets = json!({"Rule": RULE, "EventBusName": BUS, "Targets": [target]});
        self.call("put_targets", &targets).map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.history)
    }
}
