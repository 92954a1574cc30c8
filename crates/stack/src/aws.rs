//! Calls of AWS's API through boto3: to seed the servers that speak it, to look into them, and to break them.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::HEALTH_PASSWORD;
use crate::error::{Context, Error, Result};
use crate::pinned::Pinned;

/// The region of every server.
pub const REGION: &str = "eu-central-1";
/// The gateway's access key, where any is taken. It is masked wherever it appears, so it is no word that other texts hold.
pub const ACCESS_KEY_ID: &str = "HEALTHGATEWAYKEY";
/// The secret of [`ACCESS_KEY_ID`].
pub const SECRET_ACCESS_KEY: &str = HEALTH_PASSWORD;

/// The environment of localstack, moto and boto3.
pub(crate) const PINNED: Pinned =
    Pinned { folder: "venv-aws", requirements: include_str!("aws/requirements.txt") };

/// Reads requests and writes answers, one line each: starting Python for every call would take half a second.
const SCRIPT: &str = include_str!("aws/call.py");

/// One server with one pair of keys.
pub struct Aws {
    endpoint: String,
    access_key_id: String,
    secret_access_key: String,
    process: Mutex<Option<Process>>,
}

impl Aws {
    /// The server at this address, with the keys of the gateway.
    pub fn at(server: SocketAddr) -> Self {
        Self::with_keys(server, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    }

    /// The server at this address, with other keys.
    pub fn with_keys(server: SocketAddr, access_key_id: &str, secret_access_key: &str) -> Self {
        Self {
            endpoint: format!("http://{server}"),
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            process: Mutex::new(None),
        }
    }

    /// Calls an operation by boto3's names, for instance `call("events", "disable_rule", &json!({"Name": "a"}))`.
    pub fn call(&self, service: &str, operation: &str, parameters: &Value) -> Result<Value> {
        let what = || format!("aws: {service} {operation}");
        let request = json!({"service": service, "operation": operation, "parameters": parameters});
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // One that fails is not put back.
        let mut process = match slot.take() {
            Some(process) => process,
            None => self.start().context(what)?,
        };
        let mut answer: Value = process
            .ask(&request)
            .and_then(|answer| Ok(serde_json::from_str(&answer)?))
            .context(what)?;
        *slot = Some(process);
        match answer["error"].as_str() {
            Some(error) => Err(Error::new(format!("{}: {error}", what()))),
            None => Ok(answer["result"].take()),
        }
    }

    fn start(&self) -> std::io::Result<Process> {
        let mut child = Command::new(PINNED.program("python"))
            .args(["-c", SCRIPT, &self.endpoint, REGION])
            .args([&self.access_key_id, &self.secret_access_key])
            // Nothing of the developer's own AWS configuration plays a part.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("it has no pipes");
        let requests = child.stdin.take().ok_or_else(missing)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Process { child, requests, answers })
    }
}

/// A running script; it ends when nobody can ask it any more.
struct Process {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn ask(&mut self, request: &Value) -> std::io::Result<String> {
        writeln!(self.requests, "{request}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be in the middle of a call, and may have ended by itself, too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
