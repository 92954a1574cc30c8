//! `screenshots`: makes the pictures of the status page in `docs/images`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use stack::chromium::{Chromium, View};
use stack::redis::Redis;
use stack::{Backends, Error, HEALTH_USER, Mode, NAMESPACE, REDIS2, Result};

use crate::files;
use crate::gateway::Gateway;

/// The pictures: their names, and how the browser shows the page.
const PICTURES: [(&str, View); 2] = [
    ("page-light.png", View { width: 1400, dark: false, scripts: false, media: "screen" }),
    ("page-dark.png", View { width: 320, dark: true, scripts: false, media: "screen" }),
];

/// The maximum height of a picture.
const HEIGHT: u32 = 1000;

/// The time in which every check gets as many results as the page shows.
const RUNNING: Duration = Duration::from_secs(62);

/// The time in which the failing checks get some results.
const FAILING: Duration = Duration::from_secs(8);

/// Runs the demo with a Redis of its own, stops that after a minute, and takes the pictures.
pub(crate) fn run() -> Result<()> {
    stack::up(&Backends::all(), Mode::Automatic)?;
    let mut redis = Redis::start(&[])?;
    // The file is beside the demo's configuration, since it refers to the same files.
    let config = stack::state().join("screenshots.toml");
    let text = with_redis(&files::read(&stack::demo_config())?, redis.port())?;
    write(&config, text.as_bytes())?;
    let free_address =
        || Ok::<_, Error>(SocketAddr::from((Ipv4Addr::LOCALHOST, stack::free_port()?)));
    let listen = free_address()?;
    let mut gateway = Gateway::start(&config, listen, free_address()?)?;
    let path = format!("/api/health/{}/", stack::access_token()?);
    gateway.get(&path)?;
    eprintln!("the checks run for {RUNNING:?}");
    gateway.run_for(RUNNING)?;
    redis.server.stop();
    gateway.run_for(FAILING)?;
    let mut browser = Chromium::start()?;
    let images = stack::workspace().join("docs/images");
    for (name, view) in PICTURES {
        let tab = browser.open(&format!("http://{listen}{path}"), view)?;
        let picture = browser.screenshot(&tab, view.width, HEIGHT)?;
        write(&images.join(name), &picture)?;
    }
    Ok(())
}

/// The configuration of the demo with runs every second, and another server in place of the second Redis.
fn with_redis(config: &str, port: u16) -> Result<String> {
    let server = format!("{HEALTH_USER}:${{vault:secret/{NAMESPACE}/redis#password}}@{REDIS2}");
    let changed = config.replace(&server, &format!("127.0.0.1:{port}"));
    if changed == config {
        return Err(Error::new("the demo's configuration has no second Redis"));
    }
    Ok(changed.replace("interval = \"30s\"", "interval = \"1s\""))
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    let written = fs::create_dir_all(file.parent().unwrap_or(file)).and(fs::write(file, content));
    written.map_err(|error| Error::new(format!("write {}: {error}", file.display())))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}
