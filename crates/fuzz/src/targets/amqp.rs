//! The frames of an AMQP broker.

use super::{Call, Target, block_on, runtime};

/// The answers during the handshake.
pub(super) const HANDSHAKE: Target = Target {
    name: "amqp-handshake",
    about: "the handshake of AMQP",
    max_length: 64 * 1024,
    words: WORDS,
    repair: Some(repair),
    start: start_handshake,
};

/// The frames on an open connection: deliveries, answers, closes.
pub(super) const CONNECTION: Target = Target {
    name: "amqp-connection",
    about: "frames and contents of AMQP",
    max_length: 64 * 1024,
    words: WORDS,
    repair: Some(repair),
    start: start_connection,
};

const WORDS: &[&str] = &[
    "\u{1}nF",
    "\u{1}nA",
    "\u{1}nS",
    "PLAIN",
    "AMQP\0\0\u{9}\u{1}",
    "\u{6}ticketS",
    "\0\u{a}\0\u{a}",
    "\0\u{a}\0\u{1e}",
    "\0\u{a}\0\u{32}",
    "\0\u{14}\0\u{28}",
    "\0\u{3c}\0\u{3c}",
    "\0\u{3c}\0\u{32}",
];

fn start_handshake() -> Call {
    let runtime = runtime();
    Box::new(move |input| block_on(&runtime, amqp::fuzzing::handshake(input)))
}

fn start_connection() -> Call {
    let runtime = runtime();
    Box::new(move |input| block_on(&runtime, amqp::fuzzing::connection(input)))
}

/// Gives every frame a type that exists, and the size up to the next byte that ends a frame.
fn repair(mut input: Vec<u8>) -> Vec<u8> {
    const HEADER: usize = 7;
    const END: u8 = 0xce;
    let mut at = 0;
    while at + HEADER < input.len() {
        if !matches!(input[at], 1..=3 | 8) {
            input[at] = input[at] % 3 + 1;
        }
        let size = u32::from_be_bytes([input[at + 3], input[at + 4], input[at + 5], input[at + 6]]);
        let declared = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(at + HEADER);
        let end = if input.get(declared) == Some(&END) {
            declared
        } else {
            let next = input[at + HEADER..].iter().position(|byte| *byte == END);
            let end = next.map_or(input.len(), |next| at + HEADER + next);
            if next.is_none() {
                input.push(END);
            }
            let size = u32::try_from(end - at - HEADER).unwrap_or(u32::MAX);
            input[at + 3..at + HEADER].copy_from_slice(&size.to_be_bytes());
            end
        };
        at = end + 1;
    }
    input
}
