//! Finds the reason for a failed connection that the client library hides.
//!
//! The library does not report why a sentinel could not be used, and prints TLS errors as Rust code.
//! Only after a failure, this sends one `AUTH` or `PING` to each server of the URL, on a connection opened without the library.

use std::io;

use probe::{Cause, Failure, Secret, Steps};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::deployment::{Credentials, Deployment, Node};
use crate::error;

/// The longest first line of a reply that is read.
const MAX_LINE: usize = 512;

/// Returns the failure of the first server if no server of the URL can be used, or `None` if one can.
pub(crate) async fn diagnose(deployment: &Deployment, steps: &Steps) -> Option<Failure> {
    let mut first = None;
    for node in &deployment.nodes {
        let failure = try_node(deployment, node, steps).await.err()?;
        first.get_or_insert(failure);
    }
    first
}

async fn try_node(deployment: &Deployment, node: &Node, steps: &Steps) -> Result<(), Failure> {
    let stream = net::connect(steps, &node.host, node.port, deployment.tls.as_ref()).await?;
    authenticate(stream, deployment.seed_credentials(), steps).await
}

async fn authenticate(
    mut stream: net::Stream,
    credentials: &Credentials,
    steps: &Steps,
) -> Result<(), Failure> {
    let step = credentials.step();
    let exchange = async {
        stream.write_all(first_command(credentials).as_bytes()).await?;
        stream.flush().await?;
        read_line(&mut stream).await
    };
    let line = steps.run(step, async { exchange.await.map_err(net::cause) }).await?;
    match line.split_at_checked(1) {
        Some(("+", _)) => Ok(()),
        Some(("-", error)) => Err(error::reply_failure(step, error)),
        Some(_) => Err(Failure::new(step, error::not_redis())),
        None => Err(Failure::new(step, Cause::msg("connection closed"))),
    }
}

/// `AUTH` with the credentials, or `PING` if there are none.
fn first_command(credentials: &Credentials) -> String {
    let username = credentials.username.as_deref();
    let arguments: Vec<&str> = match credentials.password.as_ref().map(Secret::expose) {
        Some(password) => ["AUTH"].into_iter().chain(username).chain([password]).collect(),
        None => vec!["PING"],
    };
    let bulk = |argument: &&str| format!("${}\r\n{argument}\r\n", argument.len());
    let bulk_strings: Vec<_> = arguments.iter().map(bulk).collect();
    format!("*{}\r\n{}", arguments.len(), bulk_strings.concat())
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE && !line.contains(&b'\n') {
        let mut buffer = [0; 128];
        match stream.read(&mut buffer).await? {
            0 => break,
            length => line.extend_from_slice(&buffer[..length]),
        }
    }
    let line = String::from_utf8_lossy(&line);
    Ok(line.lines().next().unwrap_or_default().to_owned())
}
