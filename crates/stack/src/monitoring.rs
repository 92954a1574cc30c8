//! Prometheus and Alertmanager, which scrape a gateway and alert: private servers.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::http::request;
use crate::install::{Dependency, install};
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::{paths, port};

const DEPENDENCIES: [Dependency; 2] = [
    Dependency::Debian { package: "prometheus", file: PROMETHEUS },
    Dependency::Debian { package: "prometheus-alertmanager", file: ALERTMANAGER },
];
const PROMETHEUS: &str = "/usr/bin/prometheus";
const ALERTMANAGER: &str = "/usr/bin/prometheus-alertmanager";

/// A private Prometheus and its Alertmanager.
pub struct Monitoring {
    /// The process of Prometheus.
    pub prometheus: Server,
    /// The process of Alertmanager.
    pub alertmanager: Server,
    addresses: MonitoringAddresses,
    _folder: TempDir,
}

/// The addresses of both servers.
#[derive(Clone, Copy, Debug)]
pub struct MonitoringAddresses {
    /// The address of Prometheus.
    pub prometheus: SocketAddrV4,
    /// The address of Alertmanager.
    pub alertmanager: SocketAddrV4,
}

/// What Prometheus scrapes and evaluates, and where Alertmanager sends its notifications.
#[derive(Clone, Copy, Debug)]
pub struct MonitoringPlan<'a> {
    /// The listener with the metrics of a gateway.
    pub target: SocketAddr,
    /// The rules, as YAML.
    pub rules: &'a str,
    /// The time between two scrapes, and between two evaluations of the rules, such as `15s`.
    pub interval: &'a str,
    /// A server that receives each notification as JSON, at once.
    pub webhook: Option<SocketAddr>,
}

impl Monitoring {
    /// Starts both on free ports.
    pub fn start(plan: MonitoringPlan<'_>) -> Result<Self> {
        let address = || Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port::free_port()?));
        let addresses = MonitoringAddresses { prometheus: address()?, alertmanager: address()? };
        Self::start_on(addresses, plan)
    }

    /// Starts both on these addresses. Installs what is missing.
    pub fn start_on(addresses: MonitoringAddresses, plan: MonitoringPlan<'_>) -> Result<Self> {
        install(DEPENDENCIES.into_iter())?;
        let folder = private_folder("monitoring")?;
        let home = |name| folder.path().join(name);
        let alertmanager =
            prepare_alertmanager(&home("alertmanager"), addresses.alertmanager, plan.webhook)?;
        let prometheus = prepare_prometheus(&home("prometheus"), addresses, plan)?;
        Ok(Self {
            alertmanager: Server::start(alertmanager)?,
            prometheus: Server::start(prometheus)?,
            addresses,
            _folder: folder,
        })
    }

    /// The current value of each series of a query, with its labels.
    pub fn query(&self, query: &str) -> Result<Vec<(Value, f64)>> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            let _infallible = write!(path, "%{byte:02x}");
        }
        let answer = get(self.addresses.prometheus.into(), &path)?;
        if answer["status"] != "success" {
            return Err(Error::new(format!("query {query}: {}", answer["error"])));
        }
        let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let value = |series: &Value| {
            let value = series["value"][1].as_str().and_then(|value| value.parse().ok());
            (series["metric"].clone(), value.unwrap_or(f64::NAN))
        };
        Ok(series.iter().map(value).collect())
    }

    /// The alerts that Prometheus has, pending and firing.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let answer = get(self.addresses.prometheus.into(), "/api/v1/alerts")?;
        Ok(answer["data"]["alerts"].as_array().cloned().unwrap_or_default())
    }
}

fn get(address: SocketAddr, path: &str) -> Result<Value> {
    let response = request(address, "GET", path, &[], "")?;
    serde_json::from_str(&response.body).context(|| format!("{address}: {}", response.body))
}

fn prepare_prometheus(
    home: &Path,
    addresses: MonitoringAddresses,
    plan: MonitoringPlan<'_>,
) -> Result<Program> {
    paths::recreate(home)?;
    let target = |address: SocketAddr| json!([{"targets": [address.to_string()]}]);
    // JSON is YAML.
    let config = json!({
        "global": {
            "scrape_interval": plan.interval,
            "scrape_timeout": plan.interval,
            "evaluation_interval": plan.interval,
        },
        "rule_files": ["rules.yml"],
        "alerting": {
            "alertmanagers": [{"static_configs": target(addresses.alertmanager.into())}],
        },
        "scrape_configs": [
            {"job_name": "health-gateway", "static_configs": target(plan.target)},
        ],
    });
    write(&home.join("rules.yml"), plan.rules)?;
    write(&home.join("prometheus.yml"), &config.to_string())?;
    let address = addresses.prometheus;
    Ok(Program::new("prometheus", PROMETHEUS, home)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .args([format!("--web.listen-address={address}")])
        .ready(move || ready(address)))
}

fn prepare_alertmanager(
    home: &Path,
    address: SocketAddrV4,
    webhook: Option<SocketAddr>,
) -> Result<Program> {
    paths::recreate(home)?;
    let receiver = match webhook {
        Some(address) => {
            json!({"name": "all", "webhook_configs": [{"url": format!("http://{address}/")}]})
        }
        None => json!({"name": "all"}),
    };
    let config = json!({
        "route": {"receiver": "all", "group_wait": "0s", "group_interval": "1s"},
        "receivers": [receiver],
    });
    write(&home.join("alertmanager.yml"), &config.to_string())?;
    Ok(Program::new("alertmanager", ALERTMANAGER, home)
        .args(["--config.file=alertmanager.yml", "--storage.path=data"])
        // By default, Alertmanager listens for others to form a cluster.
        .args(["--cluster.listen-address="])
        .args([format!("--web.listen-address={address}")])
        .ready(move || ready(address)))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).context(|| format!("write {}", file.display()))
}

fn ready(address: SocketAddrV4) -> std::result::Result<(), String> {
    match request(address.into(), "GET", "/-/ready", &[], "") {
        Ok(response) if response.status == 200 => Ok(()),
        Ok(response) => Err(format!("/-/ready responds with {}", response.status)),
        Err(error) => Err(error.to_string()),
    }
}
