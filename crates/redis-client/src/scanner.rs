//! Bounds what a server may send, before the client library decodes it.
//!
//! The protocol (RESP2): <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

/// The maximum size of one reply, in bytes.
pub(crate) const MAX_REPLY: u64 = 1024 * 1024;

/// The maximum depth of arrays within each other. Redis' own replies have three levels.
const MAX_DEPTH: usize = 32;

/// The minimum size of an element of an array, such as `:0` and its line ending.
const MIN_ELEMENT: u64 = 4;

/// Why a server's bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A reply is larger than [`MAX_REPLY`], or declares that it will be.
    TooLarge,
    /// Arrays are nested too deeply.
    TooDeep,
    /// The bytes are not RESP2.
    NotRedis,
}

/// Follows the structure of a server's replies without recursion, and counts complete replies.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    state: State,
    /// The number of elements that each array around the current value still lacks.
    arrays: Vec<u64>,
    /// The size of the current reply so far.
    size: u64,
    /// The number of complete replies so far.
    replies: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before the byte that states the type of a value.
    #[default]
    Type,
    /// In a line that is a value by itself.
    Line,
    /// In the line that states the length of a bulk string or an array.
    Length { array: bool, negative: bool, length: u64 },
    /// In a bulk string, with the number of bytes left, line ending included.
    Bulk(u64),
}

impl Scanner {
    /// The number of complete replies so far.
    pub(crate) fn replies(&self) -> u64 {
        self.replies
    }

    /// Scans the next bytes of the server.
    pub(crate) fn scan(&mut self, mut bytes: &[u8]) -> Result<(), Violation> {
        while let Some((first, rest)) = bytes.split_first() {
            let taken = match self.state {
                State::Bulk(left) => {
                    let length = bytes.len() as u64;
                    self.skip_bulk(left, length.min(left))
                }
                state => {
                    self.scan_byte(state, *first)?;
                    1
                }
            };
            self.size += taken;
            if self.size > MAX_REPLY {
                return Err(Violation::TooLarge);
            }
            bytes = match usize::try_from(taken) {
                Ok(1) => rest,
                Ok(taken) => &bytes[taken..],
                Err(_) => &[],
            };
            if matches!(self.state, State::Type) && self.arrays.is_empty() {
                self.size = 0;
            }
        }
        Ok(())
    }

    fn skip_bulk(&mut self, left: u64, taken: u64) -> u64 {
        self.state = State::Bulk(left - taken);
        if left == taken {
            self.end_value();
        }
        taken
    }

    fn scan_byte(&mut self, state: State, byte: u8) -> Result<(), Violation> {
        match (state, byte) {
            (State::Type, b'+' | b'-' | b':') => self.state = State::Line,
            (State::Type, b'$' | b'*') => {
                self.state = State::Length { array: byte == b'*', negative: false, length: 0 };
            }
            (State::Line, b'\n') => self.end_value(),
            (State::Line, _) | (State::Length { .. }, b'\r') => {}
            (State::Length { array, length, .. }, b'-') if length == 0 => {
                self.state = State::Length { array, negative: true, length };
            }
            (State::Length { array, negative, length }, b'0'..=b'9') => {
                let length = length.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                self.state = State::Length { array, negative, length };
            }
            (State::Length { array, negative, length }, b'\n') => {
                self.begin_value(array, if negative { None } else { Some(length) })?;
            }
            _ => return Err(Violation::NotRedis),
        }
        Ok(())
    }

    /// Begins a bulk string or an array of this length, or ends a null value, which has none.
    fn begin_value(&mut self, array: bool, length: Option<u64>) -> Result<(), Violation> {
        match length {
            Some(length) if length > MAX_REPLY / if array { MIN_ELEMENT } else { 1 } => {
                return Err(Violation::TooLarge);
            }
            Some(length) if !array => self.state = State::Bulk(length + 2),
            None | Some(0) => self.end_value(),
            Some(_) if self.arrays.len() == MAX_DEPTH => return Err(Violation::TooDeep),
            Some(length) => {
                self.arrays.push(length);
                self.state = State::Type;
            }
        }
        Ok(())
    }

    /// Ends a value, and each array of which it is the last element.
    fn end_value(&mut self) {
        self.state = State::Type;
        while let Some(left) = self.arrays.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.arrays.pop();
        }
        self.replies += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(bytes: &[u8]) -> Result<u64, Violation> {
        let mut scanner = Scanner::default();
        scanner.scan(bytes).map(|()| scanner.replies())
    }

    #[test]
    fn complete_replies_are_counted() {
        for (bytes, replies) in [
            ("+OK\r\n:1\r\n-ERR no\r\n", 3),
            ("$3\r\n*\r\n\r\n$0\r\n\r\n$-1\r\n", 3),
            ("*2\r\n*1\r\n:1\r\n$1\r\nx\r\n*0\r\n*-1\r\n", 3),
            ("*2\r\n:1\r\n", 0),
            ("$5\r\nabc", 0),
        ] {
            assert_eq!(scan(bytes.as_bytes()), Ok(replies), "{bytes}");
        }
    }

    #[test]
    fn a_reply_is_bounded_in_size() {
        let max = usize::try_from(MAX_REPLY).expect("a usize");
        let line = |length| [b"+".as_slice(), &vec![b'x'; length], b"\r\n"].concat();
        assert_eq!(scan(&line(max - 3)), Ok(1));
        assert_eq!(scan(&line(max - 2)), Err(Violation::TooLarge));
        assert_eq!(scan(&line(max - 3).repeat(3)), Ok(3));
        assert_eq!(
            scan(&[b"*2\r\n".as_slice(), &line(max / 2), &line(max / 2)].concat()),
            Err(Violation::TooLarge)
        );
    }

    #[test]
    fn a_declared_length_is_refused_before_its_bytes_arrive() {
        for length in ["1048577", "2147483648", "4611686018427387904", "99999999999999999999999"] {
            assert_eq!(scan(format!("${length}\r\n").as_bytes()), Err(Violation::TooLarge));
            assert_eq!(scan(format!("*{length}\r\n").as_bytes()), Err(Violation::TooLarge));
        }
        assert_eq!(scan(b"*262145\r\n"), Err(Violation::TooLarge));
    }

    #[test]
    fn arrays_are_bounded_in_depth() {
        assert_eq!(scan("*1\r\n".repeat(32).as_bytes()), Ok(0));
        assert_eq!(scan("*1\r\n".repeat(33).as_bytes()), Err(Violation::TooDeep));
        assert_eq!(scan(format!("{}:1\r\n", "*1\r\n".repeat(32)).as_bytes()), Ok(1));
    }

    #[test]
    fn other_protocols_are_refused() {
        for bytes in ["HTTP/1.1 400", "%1\r\n", "$x\r\n", "*1-\r\n", "\r\n", "\0"] {
            assert_eq!(scan(bytes.as_bytes()), Err(Violation::NotRedis), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_the_bytes_are_divided(
            bytes in "(\\+[a-z]{0,3}\r\n|:[0-9]\r\n|\\$-1\r\n|\\$3\r\nabc\r\n|\\*[0-3]\r\n|[ -~]){0,20}",
            at in 0..60_usize,
        ) {
            let bytes = bytes.as_bytes();
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            let mut scanner = Scanner::default();
            let divided = scanner.scan(first).and_then(|()| scanner.scan(second)).map(|()| scanner.replies());
            prop_assert_eq!(divided, scan(bytes));
        }
    }
}
