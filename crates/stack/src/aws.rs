//! Calls AWS's API through boto3, to seed, inspect and break AWS-compatible servers.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::HEALTH_PASSWORD;
use crate::error::{Context, Error, Result};
use crate::pinned::PinnedVenv;

/// The region of all servers.
pub const REGION: &str = "eu-central-1";
/// The gateway's access key ID, for servers that accept any. It must not occur in other texts, because it is masked wherever it appears.
pub const ACCESS_KEY_ID: &str = "HEALTHGATEWAYKEY";
/// The secret of [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = HEALTH_PASSWORD;

/// The virtual environment of localstack, moto and boto3.
pub(crate) const VENV: PinnedVenv =
    PinnedVenv { folder: "venv-aws", requirements: include_str!("aws/requirements.txt") };

/// Reads requests and writes responses, one line each. Starting Python for each call would take half a second.
const SCRIPT: &str = include_str!("aws/call.py");

/// A client of one server with one access key.
pub struct Aws {
    endpoint: String,
    access_key_id: String,
    secret_access_key: String,
    script: Mutex<Option<Script>>,
}

impl Aws {
    /// A client of the server at this address, with the gateway's access key.
    pub fn at(server: SocketAddr) -> Self {
        Self::with_keys(server, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    }

    /// A client of the server at this address, with another access key.
    pub fn with_keys(server: SocketAddr, access_key_id: &str, secret_access_key: &str) -> Self {
        Self {
            endpoint: format!("http://{server}"),
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            script: Mutex::new(None),
        }
    }

    /// Calls an operation, with the names that boto3 uses: `call("events", "disable_rule", &json!({"Name": "a"}))`.
    pub fn call(&self, service: &str, operation: &str, parameters: &Value) -> Result<Value> {
        let what = || format!("aws: {service} {operation}");
        let request = json!({"service": service, "operation": operation, "parameters": parameters});
        let mut guard = self.script.lock();
        // A script that fails is not reused.
        let mut script = match guard.take() {
            Some(script) => script,
            None => self.start().context(what)?,
        };
        let mut response: Value = script
            .request(&request)
            .and_then(|response| Ok(serde_json::from_str(&response)?))
            .context(what)?;
        *guard = Some(script);
        match response["error"].as_str() {
            Some(error) => Err(Error::new(format!("{}: {error}", what()))),
            None => Ok(response["result"].take()),
        }
    }

    fn start(&self) -> std::io::Result<Script> {
        let mut child = Command::new(VENV.program("python"))
            .args(["-c", SCRIPT, &self.endpoint, REGION])
            .args([&self.access_key_id, &self.secret_access_key])
            // The developer's own AWS configuration must not take effect.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("the script has no pipes");
        let requests = child.stdin.take().ok_or_else(missing)?;
        let responses = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Script { child, requests, responses })
    }
}

/// A running [`SCRIPT`], which is killed when it is dropped.
struct Script {
    child: Child,
    requests: ChildStdin,
    responses: BufReader<ChildStdout>,
}

impl Script {
    fn request(&mut self, request: &Value) -> std::io::Result<String> {
        writeln!(self.requests, "{request}")?;
        let mut response = String::new();
        self.responses.read_line(&mut response)?;
        Ok(response)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Either fails if the script has already exited.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
