//! Chromium without a window, for the status page, controlled with the `DevTools` Protocol.
//!
//! Over a pipe, the protocol needs no driver, no port and no library: each message is JSON that ends with a zero byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::install::{Dependency, install};
use crate::pinned::PinnedVenv;
use crate::server::private_folder;

const PROGRAM: &str = "/usr/bin/chromium";
const DEPENDENCIES: [Dependency; 2] = [
    Dependency::Debian { package: "chromium", file: PROGRAM },
    Dependency::Debian {
        package: "fonts-dejavu-core",
        file: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    },
];

/// The package with axe. Its other parts are not needed.
static AXE: PinnedVenv =
    PinnedVenv { folder: "venv-axe", requirements: "axe-playwright-python==0.1.8\n" };

/// The protocol uses the file descriptors 3 and 4; the output of the browser is discarded.
const START: &str = "exec \"$@\" 3<&0 4>&1 < /dev/null > /dev/null 2>&1";

/// Longer than a page takes on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A browser, which ends when this value is dropped.
pub struct Chromium {
    process: Child,
    requests: ChildStdin,
    messages: Receiver<Value>,
    events: Vec<Value>,
    last_id: u64,
    _folder: TempDir,
}

/// How a tab shows its page.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The width of the window in pixels.
    pub width: u32,
    /// Whether the system prefers dark colours.
    pub dark: bool,
    /// Whether scripts run.
    pub scripts: bool,
    /// For what the page is shown: `screen` or `print`.
    pub media: &'static str,
}

/// A tab of a browser.
#[derive(Clone, Debug)]
pub struct Tab(String);

impl Chromium {
    /// Starts a browser, which is installed if it is missing.
    pub fn start() -> Result<Self> {
        install(DEPENDENCIES.into_iter())?;
        let folder = private_folder("chromium")?;
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "sh", "-c", START, "sh", PROGRAM])
            // The sandbox does not work for root or in containers, and the browser shows our own pages only.
            .args(["--headless", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run"])
            // A container may have little shared memory.
            .args(["--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"])
            .args(["--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context(|| "start Chromium".to_owned())?;
        let (Some(requests), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(Error::new("Chromium has no pipes"));
        };
        let (send, messages) = channel();
        thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(std::result::Result::ok) {
                let message = serde_json::from_slice(&message).unwrap_or_default();
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        let (events, last_id) = (Vec::new(), 0);
        Ok(Self { process, requests, messages, events, last_id, _folder: folder })
    }

    /// Opens an address in a new tab, and waits until it is loaded.
    pub fn open(&mut self, address: &str, view: View) -> Result<Tab> {
        let created = self.call(None, "Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": created["targetId"], "flatten": true});
        let session = self.call(None, "Target.attachToTarget", &attach)?;
        let tab = Tab(session["sessionId"].as_str().unwrap_or_default().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.on(&tab, &format!("{domain}.enable"), &json!({}))?;
        }
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let media = json!({"media": view.media, "features": features});
        self.on(&tab, "Emulation.setEmulatedMedia", &media)?;
        self.resize(&tab, view.width, 900)?;
        let disabled = json!({"value": !view.scripts});
        self.on(&tab, "Emulation.setScriptExecutionDisabled", &disabled)?;
        self.on(&tab, "Page.navigate", &json!({"url": address}))?;
        let is_loaded = |event: &Value| {
            event["method"] == "Page.loadEventFired" && event["sessionId"] == tab.0.as_str()
        };
        let deadline = Instant::now() + TIMEOUT;
        while !self.events.iter().any(is_loaded) {
            self.receive(deadline)?;
        }
        Ok(tab)
    }

    /// Makes a tab the visible one, as a new tab is at first; the others are hidden.
    pub fn select(&mut self, tab: &Tab) -> Result<()> {
        self.on(tab, "Page.bringToFront", &json!({})).map(drop)
    }

    /// The value of a JavaScript expression; a promise is awaited.
    pub fn evaluate(&mut self, tab: &Tab, expression: &str) -> Result<Value> {
        let parameters =
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.on(tab, "Runtime.evaluate", &parameters)?;
        match &result["exceptionDetails"] {
            Value::Null => Ok(result["result"]["value"].clone()),
            details => Err(Error::new(format!("evaluate an expression: {details}"))),
        }
    }

    /// Evaluates an expression again until it is true, and returns how long that took.
    pub fn wait_for(&mut self, tab: &Tab, expression: &str) -> Result<Duration> {
        let begun = Instant::now();
        while self.evaluate(tab, expression)? != Value::Bool(true) {
            if begun.elapsed() > TIMEOUT {
                let text = self.evaluate(tab, "document.body.innerText")?;
                return Err(Error::new(format!("waited for `{expression}`: {text}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(begun.elapsed())
    }

    /// The rules of axe for accessibility that the page of a tab violates, with the elements.
    pub fn violations(&mut self, tab: &Tab) -> Result<Vec<String>> {
        self.evaluate(tab, &axe()?)?;
        let found = self.evaluate(
            tab,
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']})
             .then(found => found.violations.map(it => `${it.id}: ${it.nodes.map(it => it.html + it.failureSummary)}`))",
        )?;
        let found = found.as_array().ok_or_else(|| Error::new("axe has no result"))?;
        Ok(found.iter().map(|it| it.as_str().unwrap_or_default().to_owned()).collect())
    }

    /// The exceptions of the tab, and the messages on its console.
    pub fn complaints(&self, tab: &Tab) -> Vec<String> {
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] != "info",
            _ => false,
        };
        self.events_of(tab).filter(is_complaint).map(|event| event["params"].to_string()).collect()
    }

    /// The addresses that the tab has requested.
    pub fn requests(&self, tab: &Tab) -> Vec<String> {
        let requests =
            self.events_of(tab).filter(|event| event["method"] == "Network.requestWillBeSent");
        let address = |event: &Value| event["params"]["request"]["url"].as_str().map(str::to_owned);
        requests.filter_map(address).collect()
    }

    /// A picture of the window, or of as much of the page as is at most this high, as PNG.
    pub fn screenshot(&mut self, tab: &Tab, width: u32, max_height: u32) -> Result<Vec<u8>> {
        let height = self.evaluate(tab, "document.documentElement.scrollHeight")?;
        let height = height.as_u64().and_then(|height| u32::try_from(height).ok());
        self.resize(tab, width, height.unwrap_or(max_height).min(max_height))?;
        let picture = self.on(tab, "Page.captureScreenshot", &json!({"format": "png"}))?;
        let data = picture["data"].as_str().unwrap_or_default();
        BASE64.decode(data.as_bytes()).context(|| "read a screenshot".to_owned())
    }

    fn resize(&mut self, tab: &Tab, width: u32, height: u32) -> Result<()> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.on(tab, "Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    fn events_of(&self, tab: &Tab) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["sessionId"] == tab.0.as_str())
    }

    fn on(&mut self, tab: &Tab, method: &str, parameters: &Value) -> Result<Value> {
        self.call(Some(&tab.0), method, parameters)
    }

    fn call(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let text = format!("{message}\0");
        self.requests.write_all(text.as_bytes()).context(|| format!("Chromium: {method}"))?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let Some(answer) = self.receive(deadline)? else { continue };
            if answer["id"] != id {
                continue;
            }
            return match &answer["error"] {
                Value::Null => Ok(answer["result"].clone()),
                error => Err(Error::new(format!("Chromium: {method}: {error}"))),
            };
        }
    }

    /// Receives a message. It is returned if it is an answer, and kept if it is an event.
    fn receive(&mut self, deadline: Instant) -> Result<Option<Value>> {
        let time = deadline.saturating_duration_since(Instant::now());
        let message = self.messages.recv_timeout(time).context(|| "Chromium".to_owned())?;
        if message["id"].is_number() {
            return Ok(Some(message));
        }
        self.events.push(message);
        Ok(None)
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Its other processes end with the first one, and its folder is removed then.
        drop(self.call(None, "Browser.close", &json!({})));
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The script of axe, which is installed if it is missing.
fn axe() -> Result<String> {
    install(std::iter::once(Dependency::Pinned(&AXE)))?;
    let file = AXE.package_file("axe_playwright_python/axe.min.js")?;
    std::fs::read_to_string(&file).context(|| format!("read {}", file.display()))
}
