//! Makes a new input from those of the corpus.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Numbers at the limits of types, as text and as bytes.
const NUMBERS: &[u64] = &[
    0,
    1,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Changes inputs at random; a seed repeats the choices.
pub(crate) struct Mutator {
    random: StdRng,
    max_length: usize,
    words: &'static [&'static str],
}

impl Mutator {
    pub(crate) fn new(seed: u64, max_length: usize, words: &'static [&'static str]) -> Self {
        Self { random: StdRng::seed_from_u64(seed), max_length, words }
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.random.random_range(0..end) }
    }

    /// A mutation of one input of `pool`, which is not empty.
    pub(crate) fn mutate(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        // The shorter of two inputs is mutated: long ones take more time, and short ones reach most of what they reach.
        let (one, other) = (self.below(pool.len()), self.below(pool.len()));
        let at = if pool[one].len() <= pool[other].len() { one } else { other };
        let mut input = pool[at].clone();
        // Usually a few changes are made, so that the rest stays valid, and sometimes many.
        let changes = 1 << self.below(5);
        for _ in 0..=self.below(changes) {
            self.change(&mut input, pool);
        }
        input.truncate(self.max_length);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let length = input.len();
        let at = self.below(length + 1);
        match self.below(13) {
            0 if length > 0 => input[at.min(length - 1)] ^= 1 << self.below(8),
            1 if length > 0 => input[at.min(length - 1)] = self.random.random(),
            2 => {
                let byte = self.random.random();
                input.insert(at, byte);
            }
            3 | 4 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())];
                splice(input, at, self.random.random(), word.as_bytes());
            }
            5 => {
                let end = at + self.span(length - at);
                input.drain(at..end);
            }
            6 => {
                // Many repetitions of a part such as `[` make a nested input.
                let end = at + self.span(length - at);
                let times = 1 << self.below(8);
                let part = input[at..end].repeat(times);
                if length + part.len() <= self.max_length {
                    input.splice(at..at, part);
                }
            }
            7 => {
                let end = at + self.span(length - at);
                let part = input[at..end].to_vec();
                let to = self.below(length + 1);
                splice(input, to, self.random.random(), &part);
            }
            8 | 9 => {
                let other = &pool[self.below(pool.len())];
                let start = self.below(other.len() + 1);
                let end = start + self.span(other.len() - start);
                splice(input, at, self.random.random(), &other[start..end]);
            }
            10 => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_be_bytes();
                let size = [1, 2, 4, 8][self.below(4)];
                splice(input, at, true, &number[8 - size..]);
            }
            11 => self.change_number(input, at),
            _ => self.change_line(input, pool),
        }
    }

    /// The length of a part: mostly short.
    fn span(&mut self, longest: usize) -> usize {
        let longest = if self.below(4) > 0 { longest.min(16) } else { longest };
        self.below(longest + 1)
    }

    /// Replaces the first decimal number after `at`.
    fn change_number(&mut self, input: &mut Vec<u8>, at: usize) {
        let Some(start) = input[at..].iter().position(u8::is_ascii_digit) else { return };
        let start = at + start;
        let digits = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = NUMBERS[self.below(NUMBERS.len())].to_string();
        input.splice(start..start + digits, number.into_bytes());
    }

    /// Replaces, repeats or removes a line, as an operator's mistake would.
    fn change_line(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let mut lines: Vec<&[u8]> = input.split_inclusive(|byte| *byte == b'\n').collect();
        let other = &pool[self.below(pool.len())];
        let others: Vec<&[u8]> = other.split_inclusive(|byte| *byte == b'\n').collect();
        let at = self.below(lines.len());
        match (self.below(3), lines.get(at).copied()) {
            (0, Some(_)) => {
                lines.remove(at);
            }
            (1, Some(line)) => lines.insert(self.below(lines.len()), line),
            _ if !others.is_empty() => lines.insert(at, others[self.below(others.len())]),
            _ => {}
        }
        let changed = lines.concat();
        *input = changed;
    }
}

/// Inserts `part` at `at`, or overwrites the bytes that are there.
fn splice(input: &mut Vec<u8>, at: usize, overwrite: bool, part: &[u8]) {
    let end = if overwrite { (at + part.len()).min(input.len()) } else { at };
    input.splice(at..end, part.iter().copied());
}
