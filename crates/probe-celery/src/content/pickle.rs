//! Python's pickle, plain data only: nothing is imported or called, and an object is nothing.
//!
//! The operations: `pickletools.py` of Python 3. The crate `serde-pickle` recurses without a bound when it drops nested lists.

use std::collections::HashMap;

use serde_json::Value;

use super::document::{Document, Part};

/// Encodes plain data in protocol 2, which every Python 3 reads.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = vec![0x80, 2];
    write(value, &mut bytes);
    bytes.push(b'.');
    bytes
}

fn write(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(b'N'),
        Value::Bool(true) => bytes.push(0x88),
        Value::Bool(false) => bytes.push(0x89),
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                bytes.extend([0x8a, 8]);
                bytes.extend(number.to_le_bytes());
            } else {
                bytes.push(b'G');
                bytes.extend(number.as_f64().unwrap_or_default().to_be_bytes());
            }
        }
        Value::String(text) => write_text(text, bytes),
        Value::Array(items) => {
            bytes.extend(b"](");
            for item in items {
                write(item, bytes);
            }
            bytes.push(b'e');
        }
        Value::Object(entries) => {
            bytes.extend(b"}(");
            for (key, value) in entries {
                write_text(key, bytes);
                write(value, bytes);
            }
            bytes.push(b'u');
        }
    }
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(b'X');
    bytes.extend(u32::try_from(text.len()).unwrap_or_default().to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Decodes protocols 2 to 5; `None` if it is something else.
pub(super) fn decode(body: &[u8]) -> Option<Document> {
    let mut machine = Machine { rest: body, ..Machine::default() };
    while machine.step()? {}
    let root = machine.stack.pop()?;
    machine.document.set_root(root);
    Some(machine.document)
}

/// The machine that executes the operations, each of which adds at most one part to the document.
#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    document: Document,
    stack: Vec<usize>,
    /// The heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

impl Machine<'_> {
    /// Executes one operation; returns whether there are more.
    fn step(&mut self) -> Option<bool> {
        match self.byte()? {
            b'.' => return Some(false),
            // The version of the protocol, and the size of a frame.
            0x80 => drop(self.byte()?),
            0x95 => drop(self.number(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.stack.pop()?),
            b'1' => drop(self.since_mark()?),
            b'2' => self.stack.push(*self.stack.last()?),
            b'N' => self.push(Part::Null),
            0x88 => self.push(Part::Bool(true)),
            0x89 => self.push(Part::Bool(false)),
            b'J' => {
                let number = i32::from_le_bytes(self.bytes(4)?.try_into().ok()?);
                self.push(Part::Integer(number.into()));
            }
            b'K' => self.integer(1)?,
            b'M' => self.integer(2)?,
            0x8a => {
                let length = self.number(1)?;
                self.long(length)?;
            }
            0x8b => {
                let length = self.number(4)?;
                self.long(length)?;
            }
            b'G' => {
                let number = f64::from_be_bytes(self.bytes(8)?.try_into().ok()?);
                self.push(Part::Float(number));
            }
            0x8c | b'U' | b'C' => self.text(1)?,
            b'X' | b'T' | b'B' => self.text(4)?,
            0x8d | 0x8e | 0x96 => self.text(8)?,
            b']' | b')' | 0x8f => self.push(Part::List(Vec::new())),
            b'l' | b't' | 0x91 => {
                let items = self.since_mark()?;
                self.push(Part::List(items));
            }
            number @ 0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(number - 0x84))?;
                let items = self.stack.split_off(from);
                self.push(Part::List(items));
            }
            b'a' => {
                let item = self.stack.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.append(&items)?;
            }
            b'}' => self.push(Part::Map(Vec::new())),
            b'd' => {
                let items = self.since_mark()?;
                self.push(Part::Map(Vec::new()));
                self.set(&items)?;
            }
            b's' => {
                let (value, key) = (self.stack.pop()?, self.stack.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(&items)?;
            }
            0x94 => self.memoize(self.memo.len() as u64)?,
            b'q' => {
                let key = self.number(1)?;
                self.memoize(key)?;
            }
            b'r' => {
                let key = self.number(4)?;
                self.memoize(key)?;
            }
            b'h' => {
                let key = self.number(1)?;
                self.stack.push(*self.memo.get(&key)?);
            }
            b'j' => {
                let key = self.number(4)?;
                self.stack.push(*self.memo.get(&key)?);
            }
            operation => self.object(operation)?,
        }
        Some(true)
    }

    /// Executes an operation that would import a name or call it: the result is nothing.
    fn object(&mut self, operation: u8) -> Option<()> {
        let operands = match operation {
            // A name in two lines.
            b'c' => {
                for _ in 0..2 {
                    let end = self.rest.iter().position(|byte| *byte == b'\n')?;
                    self.bytes(end as u64 + 1)?;
                }
                0
            }
            // A module and a name, a function or class and its arguments, an object and its state.
            0x93 | b'R' | 0x81 | b'b' => 2,
            // A class, its arguments and its keyword arguments.
            0x92 => 3,
            _ => return None,
        };
        let from = self.stack.len().checked_sub(operands)?;
        self.stack.truncate(from);
        self.push(Part::Null);
        Some(())
    }

    fn push(&mut self, part: Part) {
        let number = self.document.add(part);
        self.stack.push(number);
    }

    fn since_mark(&mut self) -> Option<Vec<usize>> {
        let mark = self.marks.pop()?;
        (mark <= self.stack.len()).then(|| self.stack.split_off(mark))
    }

    fn append(&mut self, items: &[usize]) -> Option<()> {
        match self.document.part(*self.stack.last()?)? {
            Part::List(list) => list.extend_from_slice(items),
            // An object that behaves like a list.
            Part::Null => {}
            _ => return None,
        }
        Some(())
    }

    fn set(&mut self, items: &[usize]) -> Option<()> {
        match self.document.part(*self.stack.last()?)? {
            Part::Map(map) => map.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Part::Null => {}
            _ => return None,
        }
        Some(())
    }

    fn memoize(&mut self, key: u64) -> Option<()> {
        self.memo.insert(key, *self.stack.last()?);
        Some(())
    }

    fn text(&mut self, length: u64) -> Option<()> {
        let length = self.number(length)?;
        let text = String::from_utf8_lossy(self.bytes(length)?).into_owned();
        self.push(Part::Text(text));
        Some(())
    }

    fn integer(&mut self, length: u64) -> Option<()> {
        let number = self.number(length)?;
        self.push(Part::Integer(i64::try_from(number).ok()?));
        Some(())
    }

    /// A signed number of any length; one that is too long is nothing.
    fn long(&mut self, length: u64) -> Option<()> {
        let bytes = self.bytes(length)?;
        let mut number =
            if bytes.last().is_some_and(|last| *last >= 0x80) { [0xff; 8] } else { [0; 8] };
        let part = match number.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Part::Integer(i64::from_le_bytes(number))
            }
            None => Part::Null,
        };
        self.push(part);
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    /// An unsigned number with this many bytes, the lowest first.
    fn number(&mut self, length: u64) -> Option<u64> {
        let bytes = self.bytes(length)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl<'a> Machine<'a> {
    fn bytes(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(body: &[u8], expected: &Value) {
        assert_eq!(decode(body).and_then(|document| document.value()).as_ref(), Some(expected));
    }

    /// What Python's own `pickle.dumps` writes.
    #[test]
    fn plain_data_is_decoded() {
        let expected =
            json!({"w1@host": [{"name": "high", "alias": null, "bindings": [], "n": 300}]});
        check(
            b"\x80\x04\x95@\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x07w1@host\x94]\x94}\x94(\x8c\x04name\x94\x8c\x04high\x94\x8c\x05alias\x94N\x8c\x08bindings\x94]\x94\x8c\x01n\x94M,\x01uas.",
            &expected,
        );
        check(
            b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01K\x02K\x03\x87q\x02s.",
            &json!({"a": [1, 2, 3]}),
        );
        check(b"\x80\x02\x8a\x01\xff.", &json!(-1));
        check(b"\x80\x02\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00.", &Value::Null);
    }

    #[test]
    fn an_object_is_nothing_and_calls_nothing() {
        // `{"status": "FAILURE", "result": MemoryError("x")}`, and an attempt to run a command.
        check(
            b"\x80\x04\x95D\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x06status\x94\x8c\x07FAILURE\x94\x8c\x06result\x94\x8c\x08builtins\x94\x8c\x0bMemoryError\x94\x93\x94\x8c\x01x\x94\x85\x94R\x94u.",
            &json!({"status": "FAILURE", "result": null}),
        );
        check(
            b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00lsq\x01\x85q\x02Rq\x03.",
            &Value::Null,
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(body: Vec<u8>) {
            drop(decode(&body).map(|document| document.value()));
        }

        #[test]
        fn any_operations_are_executed_or_refused(body in prop::collection::vec(prop::sample::select(
            b".\x80\x95(012NJKM\x8a\x8bG\x8cX\x8d])lt\x85\x86\x87ae}dsu\x94qrhjc\x93Rb\x00\x01\x02".to_vec()), 0..80)) {
            drop(decode(&body).map(|document| document.value()));
        }
    }
}
