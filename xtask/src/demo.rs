//! `demo`: runs the gateway on the real backends, and prints its report.

use std::net::SocketAddr;

use serde_json::Value;
use stack::{Backends, Error, Mode, Result};

use crate::gateway::Gateway;
use crate::table::{rows, table};

/// Prints the report as a table, and serves until Ctrl-C.
pub(crate) fn serve(listen: SocketAddr) -> Result<()> {
    let (mut gateway, path) = start(listen)?;
    let report = parse(&gateway.get(&path)?)?;
    println!("\n{}", table(&rows(&report)));
    println!("http://{listen}{path}\n");
    println!("Ctrl-C stops the gateway; the backends stay up until `cargo xtask down`.");
    gateway.wait()
}

/// Prints only the report, as JSON, to standard output; a check that is not `working` is an error.
pub(crate) fn once(listen: SocketAddr) -> Result<()> {
    let (gateway, path) = start(listen)?;
    let body = gateway.get(&path)?;
    drop(gateway);
    println!("{}", body.trim_end());
    let report = parse(&body)?;
    let not_working: Vec<_> = rows(&report)
        .into_iter()
        .filter(|row| row.status != "working")
        .map(|row| format!("{} {}", row.component, row.check).trim_end().to_owned())
        .collect();
    if not_working.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!("not working: {}", not_working.join(", "))))
}

/// Starts the backends and the gateway, and returns it with the report's path, which contains the token.
fn start(listen: SocketAddr) -> Result<(Gateway, String)> {
    stack::up(&Backends::all(), Mode::Automatic)?;
    let gateway = Gateway::start(&stack::demo_config(), listen)?;
    Ok((gateway, format!("/api/health/{}/", stack::access_token()?)))
}

fn parse(body: &str) -> Result<Value> {
    serde_json::from_str(body).map_err(|error| Error::new(format!("read the report: {error}")))
}
