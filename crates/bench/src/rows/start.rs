//! From the start of the process to its first complete report, beside the floor as a process of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stack::free_port;

use crate::backends::Backends;
use crate::error::{Context, Error, Result};
use crate::figure::{Bound, Figure};
use crate::floor::{Floor, Questions};
use crate::gateway::{TOKEN, request};
use crate::http::caller::Caller;
use crate::measure::{median, ms, ratio};
use crate::rows::Bench;

const STARTS: usize = 20;
/// How often somebody looks whether the gateway listens.
const LOOK: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let config = folder.path().join("bench.toml");
    let head = format!("namespace = \"bench\"\naccess_token = \"{TOKEN}\"\n");
    fs::write(&config, head + &Backends::default().sections())
        .context("write the configuration")?;
    let own = std::env::current_exe().context("find our own program")?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut serve = Command::new(bench.gateway());
        serve.args(["serve", "--listen", &listen.to_string(), "--config"]).arg(&config);
        ours.push(gateway(&mut serve, listen)?);
        floor.push(once(Command::new(&own).arg("floor"))?);
    }
    Ok(vec![Figure {
        name: "start to the first complete report, against the floor's".to_owned(),
        measured: ratio(&ours, &floor),
        unit: "×",
        bound: Bound::AtMost(1.5),
        detail: format!(
            "gateway {:.1} ms, floor {:.1} ms, each from the start of its process",
            median(&ours),
            median(&floor)
        ),
    }])
}

/// What the floor does as a process of its own: it connects, asks once, and ends.
pub(crate) fn floor() -> Result<()> {
    Floor::connect(&Backends::default(), Questions::Same)?.ask()
}

/// Milliseconds until the gateway has given a report in which everything works.
fn gateway(serve: &mut Command, listen: SocketAddr) -> Result<f64> {
    let begun = Instant::now();
    let mut child = Ended(spawn(serve)?);
    while TcpStream::connect(listen).is_err() {
        let ended = child.0.try_wait().context("wait for the gateway")?;
        if let Some(status) = ended {
            return Err(Error::new(format!("the gateway ended by itself: {status}")));
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::new("the gateway does not listen"));
        }
        thread::sleep(LOOK);
    }
    Caller::connect(listen, request(&[]))?.report()?;
    Ok(ms(begun.elapsed()))
}

/// Milliseconds until the process has ended, which must be a success.
fn once(command: &mut Command) -> Result<f64> {
    let begun = Instant::now();
    let status = spawn(command)?.wait().context("wait for the floor")?;
    if status.success() {
        return Ok(ms(begun.elapsed()));
    }
    Err(Error::new(format!("the floor: {status}")))
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("start a process")
}

/// A process that is ended with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
