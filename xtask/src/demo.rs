//! `demo`: runs the gateway on the real backends, and prints its report.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use serde_json::Value;
use stack::monitoring::{Monitoring, MonitoringAddresses, MonitoringPlan};
use stack::{Backends, Error, Mode, Result};

use crate::files::read;
use crate::gateway::Gateway;
use crate::table::{rows, table};

/// Where the demo's gateway serves its metrics and its own health.
const HEALTH_LISTEN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 28083);
/// Where `--monitoring` runs its servers.
const MONITORING: MonitoringAddresses = MonitoringAddresses {
    prometheus: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 28084),
    alertmanager: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 28085),
};
const RULES: &str = "deploy/prometheus/rules.yml";

/// Prints the report as a table, and serves until Ctrl-C.
pub(crate) fn serve(listen: SocketAddr, with_monitoring: bool) -> Result<()> {
    let (mut gateway, path) = start(listen)?;
    let _monitoring = if with_monitoring { Some(monitoring()?) } else { None };
    let report = parse(&gateway.get(&path)?)?;
    println!("\n{}", table(&rows(&report)));
    println!("report        http://{listen}{path}");
    println!("metrics       http://{HEALTH_LISTEN}/metrics");
    if with_monitoring {
        println!("Prometheus    http://{}/alerts", MONITORING.prometheus);
        println!("Alertmanager  http://{}", MONITORING.alertmanager);
    }
    println!("\nCtrl-C stops the gateway; the backends stay up until `cargo xtask down`.");
    gateway.wait()
}

/// Starts a Prometheus with the rules, and an Alertmanager without receivers.
fn monitoring() -> Result<Monitoring> {
    let rules = read(&stack::workspace().join(RULES))?;
    let plan = MonitoringPlan {
        target: HEALTH_LISTEN.into(),
        rules: &rules,
        interval: "5s",
        webhook: None,
    };
    Monitoring::start_on(MONITORING, plan)
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
    let gateway = Gateway::start(&stack::demo_config(), listen, HEALTH_LISTEN.into())?;
    Ok((gateway, format!("/api/health/{}/", stack::access_token()?)))
}

fn parse(body: &str) -> Result<Value> {
    serde_json::from_str(body).map_err(|error| Error::new(format!("read the report: {error}")))
}
