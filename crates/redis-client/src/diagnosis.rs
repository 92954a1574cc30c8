//! Says why no connection came about, where the client library keeps the reason to itself.
//!
//! It hides why a sentinel could not be used, and prints TLS errors as Rust code.
//! So after a failure, and only then, the servers are greeted once more by hand.

use std::io;

use probe::{Cause, Failure, Secret, Steps};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deployment::{Credentials, Deployment, Node};
use crate::error;

/// More of a server's first line is not read.
const MAX_LINE: usize = 512;

/// What is wrong with every server that the URL names, told of the first; `None` if one of them can be used.
pub(crate) async fn diagnose(deployment: &Deployment, steps: &Steps) -> Option<Failure> {
    let mut first = None;
    for node in &deployment.nodes {
        let failure = greet(deployment, node, steps).await.err()?;
        first.get_or_insert(failure);
    }
    first
}

async fn greet(deployment: &Deployment, node: &Node, steps: &Steps) -> Result<(), Failure> {
    let host = node.bare_host();
    let stream = steps.run("connect", TcpStream::connect((host, node.port))).await?;
    let credentials = deployment.seed_credentials();
    let Some(settings) = &deployment.tls else {
        return talk(stream, credentials, steps).await;
    };
    let config = settings.client_config(tls::Verification::Full);
    let config = config.map_err(|cause| Failure::new("tls", cause))?;
    let stream = steps.run("tls", tls::connect(config, host, stream)).await?;
    talk(stream, credentials, steps).await
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    credentials: &Credentials,
    steps: &Steps,
) -> Result<(), Failure> {
    let step = credentials.step();
    let exchange = async {
        stream.write_all(greeting(credentials).as_bytes()).await?;
        stream.flush().await?;
        first_line(&mut stream).await
    };
    let line = steps.run(step, async { exchange.await.map_err(tls::cause) }).await?;
    match line.split_at_checked(1) {
        Some(("+", _)) => Ok(()),
        Some(("-", error)) => Err(error::reply_failure(step, error)),
        Some(_) => Err(Failure::new(step, error::not_redis())),
        None => Err(Failure::new(step, Cause::msg("connection closed"))),
    }
}

/// `AUTH` with the credentials, or `PING` if there are none.
fn greeting(credentials: &Credentials) -> String {
    let username = credentials.username.as_deref();
    let words: Vec<&str> = match credentials.password.as_ref().map(Secret::expose) {
        Some(password) => ["AUTH"].into_iter().chain(username).chain([password]).collect(),
        None => vec!["PING"],
    };
    let bulks: Vec<_> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{}", words.len(), bulks.concat())
}

async fn first_line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE && !line.contains(&b'\n') {
        let mut part = [0; 128];
        match stream.read(&mut part).await? {
            0 => break,
            length => line.extend_from_slice(&part[..length]),
        }
    }
    let line = String::from_utf8_lossy(&line);
    Ok(line.lines().next().unwrap_or_default().to_owned())
}
