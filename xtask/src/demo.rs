//! `demo`: the gateway on the real backends, and its report in the terminal.

use std::net::SocketAddr;

use serde_json::Value;
use stack::{Backends, Error, Result, Way};

use crate::gateway::Gateway;
use crate::table::{rows, table};

/// Shows the report as a table, and serves until Ctrl-C.
pub(crate) fn serve(listen: SocketAddr) -> Result<()> {
    let (mut gateway, path) = start(listen)?;
    let report = parse(&gateway.get(&path)?)?;
    println!("\n{}", table(&rows(&report)));
    println!("http://{listen}{path}\n");
    println!("Ctrl-C ends the gateway; the backends stay up until `cargo xtask down`.");
    gateway.wait()
}

/// Prints the report as JSON, alone on standard output; a check that does not work is an error.
pub(crate) fn once(listen: SocketAddr) -> Result<()> {
    let (gateway, path) = start(listen)?;
    let body = gateway.get(&path)?;
    drop(gateway);
    println!("{}", body.trim_end());
    let report = parse(&body)?;
    let broken: Vec<_> = rows(&report)
        .into_iter()
        .filter(|row| row.status != "working")
        .map(|row| format!("{} {}", row.component, row.check).trim_end().to_owned())
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("not working: {}", broken.join(", "))))
}

/// Starts everything; gives the path of the report with its token.
fn start(listen: SocketAddr) -> Result<(Gateway, String)> {
    stack::up(&Backends::all(), Way::Automatic)?;
    let gateway = Gateway::start(&stack::demo_config(), listen)?;
    Ok((gateway, format!("/api/health/{}/", stack::access_token()?)))
}

fn parse(body: &str) -> Result<Value> {
    serde_json::from_str(body).map_err(|error| Error::new(format!("read the report: {error}")))
}
