//! A simulation of how replicas share the runs of one check, for more than one machine can run.
//!
//! It has the rules of the gateway's module `share` and of its scripts, virtual time, and no I/O.
//! The store handles one request after the other, and sends a published result to each replica.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::measure::{number, percentile};

/// Times are in microseconds.
type Time = u64;

const SECOND: Time = 1_000_000;
const MAX_AGE: Time = SECOND;
/// How often each replica is asked.
const INTERVAL: Time = 5 * SECOND;
const LEASE: Time = 2 * SECOND;
/// How long a replica waits for the store.
const PATIENCE: Time = 100_000;
/// How long the replica that ran the check has to react.
const REACTION: Time = 100_000;
/// How long after the end of a lease a replica asks again, at most.
const TAKEOVER: Time = 100_000;
/// The longest pause before a replica reconnects: at first, and after many failures.
const PAUSES: [Time; 2] = [100_000, 10 * SECOND];

/// The measured times, in microseconds: of one way to the store, of a script, of sending one message, and of a run.
const ONE_WAY: std::ops::Range<Time> = 50..250;
const SCRIPT: f64 = 100.0;
const MESSAGE: f64 = 8.0;
const RUN: std::ops::Range<Time> = 300..3_000;

/// The phases of a simulation.
const PHASES: [&str; 4] =
    ["all start in one second", "all is well", "the store is silent", "it answers again"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A caller asks a replica that has started.
    Start(usize),
    /// A caller asks a replica, and then again and again.
    Call(usize),
    /// A replica requests a result or the lease.
    Acquire(usize),
    /// The reply arrives: the lease with its number, or for how long to wait, or the completion of a result.
    Lease(usize, Time),
    Held(usize, Time),
    Result(usize, Time),
    /// A wait for another replica has ended, unless the replica is not waiting for it any more.
    Waited(usize, u64),
    /// A replica has run the check, with the lease of this number or none.
    Ran(usize, Option<Time>),
    /// The result of a lease arrives at the store.
    Publish(usize, Time, Time),
    /// The replica is asked to run the check.
    Asked(usize),
    /// A replica without the store tries to reconnect.
    Reconnect(usize),
}

/// What a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Idle,
    /// It waits for the store or for another replica; waits are numbered.
    Waiting(u64),
    Running,
}

#[derive(Clone, Debug)]
struct Replica {
    /// The completion of the last result that it knows.
    known: Option<Time>,
    turn: Turn,
    /// The completion that a run for the store may not precede.
    is_asked: bool,
    has_store: bool,
    pause: Time,
    /// When its callers that wait have come.
    callers: Vec<Time>,
}

/// The record of the check in the store.
#[derive(Debug, Default)]
struct Record {
    completed: Option<Time>,
    owner: Option<usize>,
    until: Time,
    fence: Time,
    home: Option<usize>,
    asked: Option<Time>,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) runs: usize,
    pub(super) requests: usize,
    pub(super) messages: usize,
    /// How long the store was busy, in microseconds.
    pub(super) busy: f64,
    /// How long callers waited, in milliseconds.
    pub(super) waits: Vec<f64>,
}

pub(super) struct Simulation {
    now: Time,
    random: StdRng,
    replicas: Vec<Replica>,
    record: Record,
    /// The time until which the store is busy.
    busy_until: f64,
    /// When the store is silent.
    silent: std::ops::Range<Time>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    number: u64,
    counts: Counts,
}

impl Simulation {
    /// Replicas that start within a second, and a store that is silent in a time.
    pub(super) fn new(replicas: usize, silent: std::ops::Range<Duration>, seed: u64) -> Self {
        let micros = |time: Duration| Time::try_from(time.as_micros()).unwrap_or(Time::MAX);
        let replica = Replica {
            known: None,
            turn: Turn::Idle,
            is_asked: false,
            has_store: true,
            pause: PAUSES[0],
            callers: Vec::new(),
        };
        let mut simulation = Self {
            now: 0,
            random: StdRng::seed_from_u64(seed),
            replicas: vec![replica; replicas],
            record: Record::default(),
            busy_until: 0.0,
            silent: micros(silent.start)..micros(silent.end),
            events: BinaryHeap::new(),
            number: 0,
            counts: Counts::default(),
        };
        for replica in 0..replicas {
            let at = simulation.random.random_range(0..SECOND);
            simulation.after(at, Event::Start(replica));
            let at = simulation.random.random_range(SECOND..SECOND + INTERVAL);
            simulation.after(at, Event::Call(replica));
        }
        simulation
    }

    /// Goes on for a time, and returns what is counted in it.
    pub(super) fn run(&mut self, time: Duration) -> Counts {
        let end = self.now + Time::try_from(time.as_micros()).unwrap_or(Time::MAX);
        self.counts = Counts::default();
        while let Some(Reverse((at, _, _))) = self.events.peek()
            && *at <= end
            && let Some(Reverse((at, _, event))) = self.events.pop()
        {
            self.now = at;
            self.handle(event);
        }
        self.now = end;
        std::mem::take(&mut self.counts)
    }

    fn after(&mut self, delay: Time, event: Event) {
        self.number += 1;
        self.events.push(Reverse((self.now + delay, self.number, event)));
    }

    fn one_way(&mut self) -> Time {
        self.random.random_range(ONE_WAY)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Start(replica) | Event::Call(replica) => {
                if matches!(event, Event::Call(_)) {
                    self.after(INTERVAL, event);
                }
                self.replicas[replica].callers.push(self.now);
                if self.is_known(replica) {
                    return self.answer(replica);
                }
                if self.replicas[replica].turn == Turn::Idle {
                    self.begin(replica, false);
                }
            }
            Event::Asked(replica) => {
                if self.replicas[replica].turn == Turn::Idle {
                    self.begin(replica, true);
                }
            }
            Event::Acquire(replica) => self.acquire(replica),
            Event::Lease(replica, fence) => {
                self.replicas[replica].turn = Turn::Running;
                self.start_run(replica, Some(fence));
            }
            Event::Held(replica, left) => {
                let wait = left + self.random.random_range(0..TAKEOVER);
                let turn = self.wait(replica);
                self.after(wait, Event::Waited(replica, turn));
            }
            Event::Result(replica, completed) => self.receive(replica, completed),
            Event::Waited(replica, turn) => {
                if self.replicas[replica].turn == Turn::Waiting(turn) {
                    self.request(replica);
                }
            }
            Event::Ran(replica, fence) => {
                if let Some(fence) = fence.filter(|_| self.replicas[replica].has_store) {
                    let way = self.one_way();
                    self.after(way, Event::Publish(replica, fence, self.now));
                }
                self.replicas[replica].turn = Turn::Idle;
                self.receive(replica, self.now);
            }
            Event::Publish(_, fence, completed) => {
                self.publish(fence, completed);
            }
            Event::Reconnect(replica) => self.reconnect(replica),
        }
    }

    /// Whether a replica knows a result that has not expired.
    fn is_known(&self, replica: usize) -> bool {
        self.replicas[replica].known.is_some_and(|known| self.now - known < MAX_AGE)
    }

    fn answer(&mut self, replica: usize) {
        let now = self.now;
        let callers = self.replicas[replica].callers.drain(..);
        self.counts.waits.extend(callers.map(|since| milliseconds(now - since)));
    }

    fn begin(&mut self, replica: usize, is_asked: bool) {
        self.replicas[replica].is_asked = is_asked;
        self.request(replica);
    }

    fn wait(&mut self, replica: usize) -> u64 {
        self.number += 1;
        self.replicas[replica].turn = Turn::Waiting(self.number);
        self.number
    }

    /// Requests a result or the lease, or runs the check if the store is not available.
    fn request(&mut self, replica: usize) {
        self.wait(replica);
        if self.replicas[replica].has_store {
            let way = self.one_way();
            self.after(way, Event::Acquire(replica));
        } else {
            self.run_alone(replica);
        }
    }

    fn run_alone(&mut self, replica: usize) {
        self.replicas[replica].turn = Turn::Running;
        self.start_run(replica, None);
    }

    fn start_run(&mut self, replica: usize, fence: Option<Time>) {
        self.counts.runs += 1;
        let time = self.random.random_range(RUN);
        self.after(time, Event::Ran(replica, fence));
    }

    /// The time when the store has handled a request that arrives now and costs this much, unless it is silent.
    fn serve(&mut self, cost: f64) -> Option<Time> {
        if self.silent.contains(&self.now) {
            return None;
        }
        self.counts.requests += 1;
        self.counts.busy += cost;
        self.busy_until = self.busy_until.max(float(self.now)) + cost;
        Some(whole(self.busy_until))
    }

    /// The store handles a request of a replica, as the script `ACQUIRE`.
    fn acquire(&mut self, replica: usize) {
        let done = self.serve(SCRIPT);
        let way = self.one_way();
        let sent = self.now;
        let in_time = done.filter(|done| done + way < sent + PATIENCE);
        let Some(done) = in_time else {
            // It notices this after its patience.
            return self.lose_store(replica);
        };
        let reply_after = done - self.now + way;
        let max_age = if self.replicas[replica].is_asked { 0 } else { MAX_AGE };
        if let Some(completed) =
            self.record.completed.filter(|at| done.saturating_sub(*at) < max_age)
        {
            return self.after(reply_after, Event::Result(replica, completed));
        }
        let left = self.record.owner.map_or(0, |_| self.record.until.saturating_sub(done));
        if left > 0 {
            return self.after(reply_after, Event::Held(replica, left));
        }
        if let Some(home) = self.record.home.filter(|home| *home != replica) {
            let since = self.record.asked.map_or(Time::MAX, |asked| done.saturating_sub(asked));
            if since < REACTION {
                return self.after(reply_after, Event::Held(replica, REACTION - since));
            }
            if since > 10 * REACTION {
                self.record.asked = Some(done);
                self.send(home, Event::Asked(home));
                return self.after(reply_after, Event::Held(replica, REACTION));
            }
        }
        let fence = self.record.fence.max(done) + 1;
        let (owner, home) = (Some(replica), Some(replica));
        let (until, asked, completed) = (done + LEASE, None, self.record.completed);
        self.record = Record { completed, owner, until, fence, home, asked };
        self.after(reply_after, Event::Lease(replica, fence));
    }

    /// The store handles a result, as the script `PUBLISH`.
    fn publish(&mut self, fence: Time, completed: Time) {
        let Some(done) = self.serve(SCRIPT) else { return };
        if self.record.fence != fence || self.record.owner.is_none() || self.record.until < done {
            return;
        }
        self.record.completed = Some(completed);
        self.record.owner = None;
        for replica in 0..self.replicas.len() {
            self.send(replica, Event::Result(replica, completed));
        }
    }

    /// Sends a message to a replica, if that uses the store.
    fn send(&mut self, replica: usize, event: Event) {
        if self.replicas[replica].has_store {
            self.counts.messages += 1;
            self.counts.busy += MESSAGE;
            self.busy_until += MESSAGE;
            let delay = whole(self.busy_until).saturating_sub(self.now) + self.one_way();
            self.after(delay, event);
        }
    }

    fn receive(&mut self, replica: usize, completed: Time) {
        let state = &mut self.replicas[replica];
        state.known = state.known.max(Some(completed));
        if self.is_known(replica) {
            if matches!(self.replicas[replica].turn, Turn::Waiting(_)) {
                self.replicas[replica].turn = Turn::Idle;
            }
            self.answer(replica);
        } else if matches!(self.replicas[replica].turn, Turn::Waiting(_)) {
            self.request(replica);
        }
    }

    fn lose_store(&mut self, replica: usize) {
        let state = &mut self.replicas[replica];
        state.has_store = false;
        let pause = state.pause;
        state.turn = Turn::Running;
        self.counts.runs += 1;
        let time = PATIENCE + self.random.random_range(RUN);
        self.after(time, Event::Ran(replica, None));
        let share = self.random.random_range(0.5..=1.0);
        self.after(PATIENCE + whole(float(pause) * share), Event::Reconnect(replica));
    }

    fn reconnect(&mut self, replica: usize) {
        let [shortest, longest] = PAUSES;
        let state = &mut self.replicas[replica];
        state.pause = (state.pause * 2).min(longest);
        let pause = state.pause;
        if self.serve(SCRIPT).is_some() {
            let state = &mut self.replicas[replica];
            state.has_store = true;
            state.pause = shortest;
        } else {
            let share = self.random.random_range(0.5..=1.0);
            self.after(whole(float(pause) * share), Event::Reconnect(replica));
        }
    }
}

fn milliseconds(time: Time) -> f64 {
    float(time) / 1000.0
}

fn float(time: Time) -> f64 {
    Duration::from_micros(time).as_secs_f64() * 1e6
}

fn whole(time: f64) -> Time {
    Time::try_from(Duration::from_secs_f64(time.max(0.0) / 1e6).as_micros()).unwrap_or(Time::MAX)
}

/// Simulates a fleet, and prints a table with a row for each phase.
pub(crate) fn print(replicas: usize, duration: Duration, seed: u64) {
    let seconds = duration.as_secs_f64();
    println!(
        "a simulation of {replicas} gateways with the seed {seed}, {seconds} s for each phase"
    );
    println!(
        "| while | runs/s | requests to the store/s | its messages/s | it is busy | a caller waits (median, 99th percentile, maximum) |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut simulation = Simulation::new(replicas, duration * 2..duration * 3, seed);
    for phase in PHASES {
        let counts = simulation.run(duration);
        let each_second = |count| number(count) / seconds;
        let [median, most_99, most] = [50, 99, 100].map(|it| percentile(&counts.waits, it));
        println!(
            "| {phase} | {:.2} | {:.1} | {:.0} | {:.1} % | {median:.1} ms, {most_99:.1} ms, {most:.1} ms |",
            each_second(counts.runs),
            each_second(counts.requests),
            each_second(counts.messages),
            counts.busy / seconds / 1e4
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    #[test]
    fn a_thousand_replicas_run_a_check_as_often_as_one_gateway() {
        let mut simulation = Simulation::new(1000, TIME * 3..TIME * 4, 7);
        // All of them start in the first second, and are asked at once.
        let starting = simulation.run(TIME);
        assert!(starting.runs <= 22, "{}", starting.runs);
        let slowest = percentile(&starting.waits, 100);
        assert!(slowest < 1000.0, "{slowest} ms");
        let counts = simulation.run(TIME);
        assert!(counts.runs <= 22, "{}", counts.runs);
        assert!(counts.waits.len() >= 3990, "{}", counts.waits.len());
    }

    #[test]
    fn a_seed_repeats_a_simulation_and_without_the_store_each_replica_runs_by_itself() {
        let run = || Simulation::new(100, Duration::ZERO..TIME, 7).run(TIME);
        let counts = run();
        assert_eq!(counts, run());
        assert_eq!(counts.requests, 0);
        assert!((450..=500).contains(&counts.runs), "{}", counts.runs);
    }
}
