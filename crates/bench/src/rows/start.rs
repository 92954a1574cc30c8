//! Time from the start of a process to its first report, against the floor.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stack::free_port;

use crate::backends::Backends;
use crate::error::{Context, Error, Result};
use crate::figure::{Bound, Figure};
use crate::floor::{Floor, Requests};
use crate::gateway::{TOKEN, request};
use crate::http::client::Client;
use crate::measure::{median, ms, ratio};
use crate::rows::Bench;

const STARTS: usize = 20;
/// How often a connection to the starting gateway is attempted.
const POLL_INTERVAL: Duration = Duration::from_micros(200);
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir().context("create a folder")?;
    let config = folder.path().join("bench.toml");
    let head = format!("namespace = \"bench\"\naccess_token = \"{TOKEN}\"\n");
    fs::write(&config, head + &Backends::default().sections())
        .context("write the configuration")?;
    let own = std::env::current_exe().context("find our own executable")?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut serve = Command::new(bench.gateway());
        serve.args(["serve", "--listen", &address.to_string(), "--config"]).arg(&config);
        ours.push(time_to_report(&mut serve, address)?);
        floor.push(time_to_exit(Command::new(&own).arg("floor"))?);
    }
    Ok(vec![Figure {
        name: "start to the first complete report, against the floor's".to_owned(),
        measured: ratio(&ours, &floor),
        unit: "×",
        bound: Bound::AtMost(1.0),
        detail: format!(
            "gateway {:.1} ms, floor {:.1} ms, each from the start of its process",
            median(&ours),
            median(&floor)
        ),
    }])
}

/// Runs the floor: connects, sends the requests once, and closes the connections.
pub(crate) fn floor() -> Result<()> {
    Floor::connect(&Backends::default(), Requests::OfFirstRun)?.run()
}

/// Returns the milliseconds until the gateway responds with a report in which every check is working.
fn time_to_report(serve: &mut Command, address: SocketAddr) -> Result<f64> {
    let started_at = Instant::now();
    let mut child = KillOnDrop(spawn(serve)?);
    while TcpStream::connect(address).is_err() {
        let exited = child.0.try_wait().context("wait for the gateway")?;
        if let Some(status) = exited {
            return Err(Error::new(format!("the gateway exited: {status}")));
        }
        if started_at.elapsed() > TIMEOUT {
            return Err(Error::new("the gateway does not listen in time"));
        }
        thread::sleep(POLL_INTERVAL);
    }
    Client::connect(address, request(&[]))?.get_report()?;
    Ok(ms(started_at.elapsed()))
}

/// Returns the milliseconds until the process exits, which must be with success.
fn time_to_exit(command: &mut Command) -> Result<f64> {
    let started_at = Instant::now();
    let status = spawn(command)?.wait().context("wait for the floor")?;
    if status.success() {
        return Ok(ms(started_at.elapsed()));
    }
    Err(Error::new(format!("the floor: {status}")))
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("start a process")
}

/// A process that is killed when this value is dropped.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Either fails if it has already exited.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
