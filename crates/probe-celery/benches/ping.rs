//! Compares `celery.ping` with Celery's own `inspect ping` on the same worker: `cargo bench -p probe-celery`.
//!
//! It needs the shared stack: `cargo xtask up`.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::time::{Duration, Instant};

use probe_celery::KIND;
use probe_testkit::{checks, component, run};
use stack::celery::App;
use stack::rabbit::{ADMIN_PASSWORD, ADMIN_USER, shared};
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

/// How often each is measured, alternately.
const ROUNDS: usize = 5;
const PINGS_PER_ROUND: usize = 100;

#[tokio::main]
async fn main() {
    let address = shared().unwrap();
    let url = |user, password| format!("amqp://{user}:{password}@{address}/{RABBIT_VHOST}");
    let app = App::new(&url(ADMIN_USER, ADMIN_PASSWORD), "rpc://").unwrap();
    let section = format!("broker = '{}'", url(HEALTH_USER, HEALTH_PASSWORD));
    let (_, ping) = checks(&component(&KIND, "celery", &section)).remove(0);
    run(&ping, Duration::from_secs(10)).await.expect_working();

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..PINGS_PER_ROUND {
            let started = Instant::now();
            run(&ping, Duration::from_secs(10)).await.expect_working();
            ours.push(started.elapsed());
        }
        theirs.push(app.inspect_ping().unwrap());
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!("celery.ping {ours:?}, celery inspect ping {theirs:?}: {ratio:.0} times faster");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
