//! Tests the testkit with a correct probe, and with probes that break one promise.

#![expect(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod bad_probes;
mod proxy;
mod toy;

use probe::{Kind, Section};
use probe_testkit::promises;

use toy::{Flaw, Server};

#[tokio::test]
async fn a_good_probe_keeps_every_promise() {
    let server = Server::start().await;
    let kind = Kind { name: "toy", build: |section| toy::build(section, Flaw::None) };
    promises(server.subject(kind)).await;
}

#[tokio::test]
async fn a_good_probe_that_connects_for_each_run_keeps_every_promise() {
    let server = Server::start().await;
    let build = |section: &Section<'_>| toy::build(section, Flaw::ConnectionPerCheck);
    let subject = server.subject(Kind { name: "toy", build });
    promises(subject.with_connections(0)).await;
}

#[tokio::test]
async fn a_good_group_keeps_every_promise() {
    let server = Server::start().await;
    promises(server.group(Kind { name: "toys", build: toy::build_group })).await;
}
