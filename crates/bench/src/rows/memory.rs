//! Resident memory with every component of the report, after a thousand runs and after ten thousand.

use std::fs;
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::figure::{Bound, Figure};
use crate::gateway::Gateway;
use crate::http::caller::{Caller, Request, lines};
use crate::measure::{Measured, number};
use crate::proc;
use crate::rows::Bench;

const FEW: usize = 1000;
const MANY: usize = 10_000;
/// If the runs take longer than that, there are fewer of them, and the figure says how many.
const PATIENCE: Duration = Duration::from_secs(90);
/// Their backends are slow on this machine: localstack, moto, and tasks that go through Celery's one worker.
const ONCE_A_SECOND: [&str; 4] = ["celery", "cloud_front", "history", "s3"];
const MEGABYTE: f64 = 1_000_000.0;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir().context("make a folder")?;
    // Beside the demo's, since it refers to the same files.
    let config = stack::state().join("bench.toml");
    fs::write(&config, configuration()?).context("write the configuration")?;
    let gateway = Gateway::on(bench.gateway(), &config, folder)?;
    let path = format!("/api/health/{}/", stack::access_token()?);
    let mut caller = Caller::connect(gateway.listen(), Request::get(&path, &[]))?;
    let components = lines(&caller.report()?).len();

    let begun = Instant::now();
    let mut runs = 0;
    let mut go_on = |until| {
        while runs < until && begun.elapsed() < PATIENCE {
            caller.ask()?;
            runs += 1;
        }
        let (all, own) = (proc::resident(gateway.pid()?)?, proc::anonymous(gateway.pid()?)?);
        Ok::<_, crate::error::Error>((runs, megabytes(all), megabytes(own)))
    };
    let (few, few_all, few_own) = go_on(FEW)?;
    let (many, many_all, many_own) = go_on(MANY)?;
    caller.report()?;
    let seconds = begun.elapsed().as_secs();
    Ok(vec![
        Figure {
            name: format!("resident memory, every component, after {many} runs"),
            measured: Measured::counted(many_all),
            unit: " MB",
            bound: Bound::AtMost(20.0),
            detail: format!(
                "{many_own:.1} MB of it its own, the rest its program; {components} checks in {seconds} s, \
                 of which those of {} ran once a second",
                ONCE_A_SECOND.join(", ")
            ),
        },
        Figure {
            name: format!("the same, against that after {few} runs"),
            measured: Measured::counted((many_all / few_all - 1.0) * 100.0),
            unit: " %",
            bound: Bound::AtMost(5.0),
            detail: format!(
                "{few_all:.1} MB ({few_own:.1} MB its own) after {few}, {many_all:.1} MB ({many_own:.1} MB) after {many}"
            ),
        },
    ])
}

/// The demo's configuration, in which every check runs for every question but those that are slow here.
fn configuration() -> Result<String> {
    let path = stack::demo_config();
    let demo = fs::read_to_string(&path).context(&path.display().to_string())?;
    Ok(paced(&demo))
}

fn paced(demo: &str) -> String {
    let settings = "max_age = \"0s\"\n";
    let mut paced = demo.replacen("namespace =", &format!("{settings}namespace ="), 1);
    for section in ONCE_A_SECOND {
        let head = format!("\n[{section}]\n");
        let pace = "max_age = \"1s\"\n";
        if paced.contains(&head) {
            paced = paced.replacen(&head, &format!("{head}{pace}"), 1);
        } else {
            paced.extend([head.as_str(), pace]);
        }
    }
    paced
}

fn megabytes(bytes: u64) -> f64 {
    number(usize::try_from(bytes / 1000).unwrap_or_default()) * 1000.0 / MEGABYTE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_are_there_get_their_pace_and_others_are_added() {
        let demo = "# A comment.\nnamespace = \"demo\"\n\n[celery]\nbroker = \"x\"\n\n[s3.files]\n";
        let expected = "# A comment.\nmax_age = \"0s\"\nnamespace = \"demo\"\n\n\
                        [celery]\nmax_age = \"1s\"\nbroker = \"x\"\n\n[s3.files]\n\n\
                        [cloud_front]\nmax_age = \"1s\"\n\n[history]\nmax_age = \"1s\"\n\n\
                        [s3]\nmax_age = \"1s\"\n";
        assert_eq!(paced(demo), expected);
    }
}
