//! Resident memory with every component, after one thousand and ten thousand runs.

use std::fs;
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::figure::{Bound, Figure};
use crate::gateway::Gateway;
use crate::http::client::{Client, Request, check_results};
use crate::measure::{Measurement, megabytes};
use crate::proc;
use crate::rows::Bench;

const FEW: usize = 1000;
const MANY: usize = 10_000;
/// The time limit of the runs. If it is reached, there are fewer of them, and the figure's name contains their number.
const TIME_LIMIT: Duration = Duration::from_secs(90);
/// The sections with slow backends: localstack, moto, and tasks for Celery's only worker.
const ONCE_A_SECOND: [&str; 4] = ["celery", "cloud_front", "history", "s3"];

pub(crate) fn run(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir().context("create a folder")?;
    // In the folder of the demo's configuration, because it refers to the same files.
    let config = stack::state().join("bench.toml");
    fs::write(&config, configuration()?).context("write the configuration")?;
    let gateway = Gateway::start_with_config(bench.gateway(), &config, folder)?;
    let path = format!("/api/health/{}/", stack::access_token()?);
    let mut client = Client::connect(gateway.address(), Request::get(&path, &[]))?;
    let components = check_results(&client.get_report()?).len();

    let started_at = Instant::now();
    let mut runs = 0;
    let mut run_until = |until| {
        while runs < until && started_at.elapsed() < TIME_LIMIT {
            client.get()?;
            runs += 1;
        }
        let (resident, anonymous) =
            (proc::resident(gateway.pid()?)?, proc::anonymous(gateway.pid()?)?);
        Ok::<_, crate::error::Error>((runs, megabytes(resident), megabytes(anonymous)))
    };
    let (few, few_resident, few_anonymous) = run_until(FEW)?;
    let (many, many_resident, many_anonymous) = run_until(MANY)?;
    client.get_report()?;
    let seconds = started_at.elapsed().as_secs();
    Ok(vec![
        Figure {
            name: format!("resident memory, every component, after {many} runs"),
            measured: Measurement::exact(many_resident),
            unit: " MB",
            bound: Bound::AtMost(16.0),
            detail: format!(
                "{many_anonymous:.1} MB of it anonymous, the rest mapped files; {components} checks in {seconds} s, \
                 of which those of {} ran once a second",
                ONCE_A_SECOND.join(", ")
            ),
        },
        Figure {
            name: format!("the same, against that after {few} runs"),
            measured: Measurement::exact((many_resident / few_resident - 1.0) * 100.0),
            unit: " %",
            bound: Bound::AtMost(5.0),
            detail: format!(
                "{few_resident:.1} MB ({few_anonymous:.1} MB anonymous) after {few}, {many_resident:.1} MB ({many_anonymous:.1} MB) after {many}"
            ),
        },
    ])
}

/// Returns the demo's configuration without caching, except for the slow sections.
fn configuration() -> Result<String> {
    let path = stack::demo_config();
    let demo = fs::read_to_string(&path).context(&path.display().to_string())?;
    Ok(with_max_age(&demo))
}

fn with_max_age(demo: &str) -> String {
    let settings = "max_age = \"0s\"\n";
    let mut config = demo.replacen("namespace =", &format!("{settings}namespace ="), 1);
    for section in ONCE_A_SECOND {
        let head = format!("\n[{section}]\n");
        let setting = "max_age = \"1s\"\n";
        if config.contains(&head) {
            config = config.replacen(&head, &format!("{head}{setting}"), 1);
        } else {
            config.extend([head.as_str(), setting]);
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_added_to_existing_sections_and_to_new_ones() {
        let demo = "# A comment.\nnamespace = \"demo\"\n\n[celery]\nbroker = \"x\"\n\n[s3.files]\n";
        let expected = "# A comment.\nmax_age = \"0s\"\nnamespace = \"demo\"\n\n\
                        [celery]\nmax_age = \"1s\"\nbroker = \"x\"\n\n[s3.files]\n\n\
                        [cloud_front]\nmax_age = \"1s\"\n\n[history]\nmax_age = \"1s\"\n\n\
                        [s3]\nmax_age = \"1s\"\n";
        assert_eq!(with_max_age(demo), expected);
    }
}
