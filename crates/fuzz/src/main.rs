//! Runs targets for a given time, each in its own process, and prints a table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use fuzz::{Finding, FuzzReport, Limits, TARGETS, Target};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The processor time that one input may take: many times what any has taken in an optimized build.
const MAX_TIME: Duration = Duration::from_millis(200);

#[derive(Parser)]
struct Cli {
    /// How long to run, over all targets.
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// The targets to run, instead of all.
    #[arg(long, value_name = "NAME", value_parser = target_name, value_delimiter = ',')]
    target: Vec<String>,
    /// The seed of all random choices.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// The folder to write inputs with findings to.
    #[arg(long, value_name = "FOLDER", default_value = "target/fuzz-findings")]
    findings: PathBuf,
    /// Run one target in this process for this many milliseconds, and print the result as JSON.
    #[arg(long, hide = true)]
    child_millis: Option<u64>,
}

/// The result of one target, as its process prints it.
#[derive(Serialize, Deserialize)]
struct Row {
    inputs: u64,
    elapsed_millis: u64,
    longest_micros: u64,
    results: usize,
    /// Each defect, and the file with its input.
    findings: Vec<(String, PathBuf)>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.child_millis {
        Some(millis) => child(&cli, Duration::from_millis(millis)).map(|()| true),
        None => run(&cli),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn target_name(name: &str) -> Result<String, String> {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("expected one of {}", names.join(", ")))
}

fn selected(cli: &Cli) -> impl Iterator<Item = &'static Target> {
    TARGETS
        .iter()
        .filter(|it| cli.target.is_empty() || cli.target.iter().any(|name| name == it.name))
}

/// Runs the targets one after another, and returns whether none has a finding.
fn run(cli: &Cli) -> Result<bool, String> {
    let begun = Instant::now();
    let seed = cli.seed.unwrap_or_else(|| rand::random::<u32>().into());
    println!("seed {seed}");
    println!("| target | inputs | inputs/s | longest input | results | findings |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let count = u32::try_from(selected(cli).count()).unwrap_or(u32::MAX);
    let share = Duration::from_secs(cli.minutes * 60) / count;
    let (mut inputs, mut findings) = (0, Vec::new());
    for target in selected(cli) {
        let row = run_child(cli, target, seed, share)?;
        println!(
            "| `{}` | {} | {} | {}.{} ms | {} | {} |",
            target.name,
            row.inputs,
            row.inputs * 1000 / row.elapsed_millis.max(1),
            row.longest_micros / 1000,
            row.longest_micros / 100 % 10,
            row.results,
            row.findings.len()
        );
        inputs += row.inputs;
        findings.extend(row.findings.into_iter().map(|finding| (target.name, finding)));
    }
    println!("{inputs} inputs in {} s", begun.elapsed().as_secs());
    for (target, (what, file)) in &findings {
        println!("{target}: {what} ({})", file.display());
    }
    Ok(findings.is_empty())
}

/// Runs a target in a process of its own, so that a crash is a finding as well.
fn run_child(cli: &Cli, target: &Target, seed: u64, share: Duration) -> Result<Row, String> {
    let failed = |error: std::io::Error| format!("start the fuzzer: {error}");
    let child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["--target", target.name, "--seed", &seed.to_string()])
        .args(["--child-millis", &share.as_millis().to_string()])
        .arg("--findings")
        .arg(&cli.findings)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed)?;
    if let Ok(row) = serde_json::from_slice(&child.stdout) {
        return Ok(row);
    }
    let what = format!("the process ended with {}", child.status);
    let input = fs::read(current(cli, target)).ok().and_then(|file| {
        let (length, input) = file.split_first_chunk()?;
        input.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?).map(<[u8]>::to_vec)
    });
    let finding = Finding { what, input: input.unwrap_or_default() };
    let file = write(&cli.findings, target, &finding.input)?;
    let findings = vec![(finding.what, file)];
    Ok(Row { inputs: 0, elapsed_millis: 0, longest_micros: 0, results: 0, findings })
}

fn child(cli: &Cli, duration: Duration) -> Result<(), String> {
    let Some(target) = selected(cli).next() else { return Err("expected a target".to_owned()) };
    fs::create_dir_all(&cli.findings).map_err(|error| error.to_string())?;
    // Each panic is a finding, which is printed at the end.
    std::panic::set_hook(Box::new(|_| {}));
    let seed = cli.seed.unwrap_or_default();
    let limits = Limits { duration, seed, max_time: MAX_TIME, current: Some(current(cli, target)) };
    let FuzzReport { inputs, elapsed, longest, results, newest, findings: found } =
        fuzz::run(target, &limits);
    let folder = cli.findings.join(format!("{}.new", target.name));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for input in &newest {
        write(&folder, target, input)?;
    }
    let mut findings = Vec::new();
    for Finding { what, input } in found {
        findings.push((what, write(&cli.findings, target, &input)?));
    }
    let elapsed_millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let longest_micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    let row = Row { inputs, elapsed_millis, longest_micros, results, findings };
    println!("{}", serde_json::to_string(&row).map_err(|error| error.to_string())?);
    Ok(())
}

/// The file with the current input of a target.
fn current(cli: &Cli, target: &Target) -> PathBuf {
    cli.findings.join(format!("{}.current", target.name))
}

/// Writes an input to a file in `folder`, from where it can be added to the corpus.
fn write(folder: &Path, target: &Target, input: &[u8]) -> Result<PathBuf, String> {
    let digest = Sha256::digest(input);
    let name = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let file = folder.join(format!("{}-{name:08x}", target.name));
    fs::write(&file, input).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}
