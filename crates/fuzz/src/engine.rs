//! Runs a target on mutated inputs until a limit is reached.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::mutator::Mutator;
use crate::targets::{Call, Target};
use crate::{corpus, meter};

/// An input that takes longer than this by the clock hangs.
const HANG: Duration = Duration::from_mins(1);
/// How much memory one input may take.
const MAX_MEMORY: u64 = 64 * 1024 * 1024;
/// The number of inputs between two measurements of the memory.
const BATCH: usize = 256;
/// The largest total size of the inputs that are mutated further.
const MAX_POOL: usize = 8 * 1024 * 1024;
/// The stack of a worker of the gateway's runtime.
const STACK: usize = 2 * 1024 * 1024;
/// The number of inputs with a new result that are returned: the last are the rarest.
const MAX_NEWEST: usize = 32;
/// The number of findings after which the run of a target ends.
const MAX_FINDINGS: usize = 5;

/// When a run ends, and where it writes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long it runs.
    pub duration: Duration,
    /// The seed of all random choices.
    pub seed: u64,
    /// The processor time that one input may take.
    pub max_time: Duration,
    /// The file that always has the current input, so that it is known after a crash.
    pub current: Option<PathBuf>,
}

/// An input, and the defect that it shows.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The defect.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.input.len().min(300);
        write!(f, "{}: {}", self.what, self.input[..end].escape_ascii())
    }
}

/// The inputs of a run, and the defects that they revealed.
#[derive(Clone, Debug, Default)]
pub struct FuzzReport {
    /// The number of inputs.
    pub inputs: u64,
    /// How long the run took.
    pub elapsed: Duration,
    /// The longest processor time of an input.
    pub longest: Duration,
    /// The number of different results, and of inputs that are mutated further because of them.
    pub results: usize,
    /// The last inputs that had a new result, which may become kept ones.
    pub newest: Vec<Vec<u8>>,
    /// The defects, each with its input.
    pub findings: Vec<Finding>,
}

/// Runs all kept inputs of `target` and then mutations of them, within `limits`.
///
/// If an input hangs, the process exits, since a thread cannot be stopped.
pub fn run(target: &'static Target, limits: &Limits) -> FuzzReport {
    let current = Arc::new(Mutex::new((0, Vec::new())));
    let (sender, ended) = mpsc::channel();
    let (limits, shared) = (limits.clone(), Arc::clone(&current));
    let work = move || {
        let outcome = Run::new(target, &limits, shared).map(Run::finish);
        drop(sender.send(outcome));
    };
    // The same stack as in the gateway, so that a recursion that is too deep there is too deep here.
    let worker = thread::Builder::new().name("fuzz".to_owned()).stack_size(STACK).spawn(work);
    let failed = |what: String| {
        let findings = vec![Finding { what, input: Vec::new() }];
        FuzzReport { findings, ..FuzzReport::default() }
    };
    if let Err(error) = worker {
        return failed(format!("cannot start a thread: {error}"));
    }
    let mut seen = 0;
    loop {
        match ended.recv_timeout(HANG) {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(error)) => return failed(format!("cannot read the corpus: {error}")),
            Err(RecvTimeoutError::Disconnected) => return failed("the fuzzer panicked".to_owned()),
            Err(RecvTimeoutError::Timeout) => {
                let (number, input) = current.lock().clone();
                if number == seen {
                    let finding = Finding { what: "it hangs".to_owned(), input };
                    eprintln!("{}: {finding}", target.name);
                    std::process::exit(3);
                }
                seen = number;
            }
        }
    }
}

/// A run in progress.
struct Run {
    target: &'static Target,
    mutator: Mutator,
    call: Call,
    current: Arc<Mutex<(u64, Vec<u8>)>>,
    file: Option<std::fs::File>,
    pool: Vec<Vec<u8>>,
    pool_size: usize,
    results: HashSet<u64>,
    batch: Vec<Vec<u8>>,
    outcome: FuzzReport,
    begun: Instant,
    duration: Duration,
    max_time: Duration,
}

impl Run {
    fn new(
        target: &'static Target,
        limits: &Limits,
        current: Arc<Mutex<(u64, Vec<u8>)>>,
    ) -> std::io::Result<Self> {
        let open = |path: &Path| std::fs::File::create(path);
        Ok(Self {
            target,
            mutator: Mutator::new(limits.seed, target.max_length, target.words),
            call: (target.start)(),
            current,
            file: limits.current.as_deref().map(open).transpose()?,
            pool: corpus::read(target.name)?,
            pool_size: 0,
            results: HashSet::new(),
            batch: Vec::new(),
            outcome: FuzzReport::default(),
            begun: Instant::now(),
            duration: limits.duration,
            max_time: limits.max_time,
        })
    }

    fn finish(mut self) -> FuzzReport {
        for input in self.pool.clone() {
            self.try_input(input);
        }
        let kept = self.pool.len();
        while !self.pool.is_empty() && self.begun.elapsed() < self.duration {
            let mut input = self.mutator.mutate(&self.pool);
            // Otherwise, most inputs would be rejected for a wrong length.
            if let Some(repair) = self.target.repair
                && self.mutator.below(4) > 0
            {
                input = repair(input);
            }
            self.try_input(input);
            if self.outcome.findings.len() >= MAX_FINDINGS {
                break;
            }
        }
        self.check_memory();
        self.outcome.elapsed = self.begun.elapsed();
        self.outcome.results = self.results.len();
        let newest = kept.max(self.pool.len().saturating_sub(MAX_NEWEST));
        self.outcome.newest = self.pool.split_off(newest);
        self.outcome
    }

    fn try_input(&mut self, input: Vec<u8>) {
        self.record(&input);
        let before = meter::thread_time();
        let result = catch_unwind(AssertUnwindSafe(|| (self.call)(&input)));
        let time = meter::thread_time().saturating_sub(before);
        self.outcome.inputs += 1;
        self.outcome.longest = self.outcome.longest.max(time);
        if time > self.max_time {
            self.find(format!("it takes {time:?} of processor time"), &input);
        }
        match result {
            Ok(Ok(result)) => {
                if self.results.insert(shape(&result)) {
                    self.keep(&input);
                }
            }
            Ok(Err(what)) => self.find(what, &input),
            Err(panic) => {
                self.find(format!("it panics: {}", message(&*panic)), &input);
                // The state that the target keeps between inputs may be inconsistent.
                self.call = (self.target.start)();
            }
        }
        self.batch.push(input);
        if self.batch.len() == BATCH {
            self.check_memory();
        }
    }

    /// Records the input, so that it is known after a crash or a hang.
    fn record(&mut self, input: &[u8]) {
        use std::os::unix::fs::FileExt as _;
        {
            let mut current = self.current.lock();
            current.0 += 1;
            current.1.clear();
            current.1.extend_from_slice(input);
        }
        if let Some(file) = &self.file {
            let length = u32::try_from(input.len()).unwrap_or_default().to_le_bytes();
            // If this fails, the input of a crash is not known.
            drop(file.write_all_at(&[&length, input].concat(), 0));
        }
    }

    /// Adds an input to those that are mutated, if there is room.
    fn keep(&mut self, input: &[u8]) {
        if self.pool_size + input.len() <= MAX_POOL {
            self.pool_size += input.len();
            self.pool.push(input.to_vec());
        }
    }

    fn find(&mut self, what: String, input: &[u8]) {
        let is_new = self.outcome.findings.iter().all(|finding| finding.what != what);
        if is_new && self.outcome.findings.len() < MAX_FINDINGS {
            self.outcome.findings.push(Finding { what, input: input.to_vec() });
        }
    }

    /// If the inputs since the last measurement took too much memory together, runs each of them again.
    fn check_memory(&mut self) {
        let inputs = std::mem::take(&mut self.batch);
        let resident = meter::peak_memory();
        meter::reset_peak_memory();
        if resident.saturating_sub(meter::peak_memory()) <= MAX_MEMORY {
            return;
        }
        for input in inputs {
            meter::reset_peak_memory();
            let before = meter::peak_memory();
            drop(catch_unwind(AssertUnwindSafe(|| (self.call)(&input))));
            let taken = meter::peak_memory().saturating_sub(before);
            if taken > MAX_MEMORY {
                self.find(format!("it takes {} MiB of memory", taken / 1024 / 1024), &input);
            }
        }
    }
}

/// A digest of a result without its numbers, so that results of the same kind are equal.
fn shape(result: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut in_number = false;
    for byte in result.bytes().take(512) {
        match byte {
            b'0'..=b'9' if in_number => continue,
            b'0'..=b'9' => b'0'.hash(&mut hasher),
            byte => byte.hash(&mut hasher),
        }
        in_number = byte.is_ascii_digit();
    }
    hasher.finish()
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message").to_owned()
}
