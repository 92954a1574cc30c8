//! Which primary of a cluster serves which hash slot.

use redis::Value;

use crate::Canary;
use crate::deployment::Node;

/// The number of hash slots of a cluster.
const SLOTS: u16 = 16384;

/// The primaries of a cluster, and the slots that each of them serves.
#[derive(Debug, Default)]
pub(crate) struct SlotMap {
    primaries: Vec<Node>,
    /// Ranges of slots, and the index of their primary, in the order of the slots.
    ranges: Vec<Range>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    first: u16,
    last: u16,
    primary: usize,
}

impl SlotMap {
    /// Reads the reply to `CLUSTER SLOTS` of the node `asked`, or returns `None` if it has another form.
    pub(crate) fn parse(reply: &Value, asked: &Node) -> Option<Self> {
        let Value::Array(entries) = reply else { return None };
        let mut map = Self::default();
        for entry in entries {
            let Value::Array(entry) = entry else { return None };
            let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = entry.as_slice()
            else {
                return None;
            };
            let primary = map.add_primary(node(primary, asked)?);
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            map.ranges.push(Range { first, last, primary });
        }
        map.ranges.sort_by_key(|range| range.first);
        map.is_consistent().then_some(map)
    }

    /// Whether every range has a slot that exists, and no slot is in two of them: every primary then serves a slot.
    fn is_consistent(&self) -> bool {
        let valid = |range: &Range| range.first <= range.last && range.last < SLOTS;
        self.ranges.iter().all(valid)
            && self.ranges.windows(2).all(|pair| pair[0].last < pair[1].first)
    }

    fn add_primary(&mut self, node: Node) -> usize {
        let known = self.primaries.iter().position(|primary| *primary == node);
        known.unwrap_or_else(|| {
            self.primaries.push(node);
            self.primaries.len() - 1
        })
    }

    pub(crate) fn primaries(&self) -> &[Node] {
        &self.primaries
    }

    /// The index of the primary that serves `slot`.
    pub(crate) fn primary(&self, slot: u16) -> Option<usize> {
        let serves = |range: &&Range| (range.first..=range.last).contains(&slot);
        self.ranges.iter().find(serves).map(|range| range.primary)
    }

    /// A canary for each primary, with a key that this primary serves.
    ///
    /// If the prefix has a hash tag, all of its keys are served by one primary, and there is one canary.
    pub(crate) fn canaries(&self, prefix: &str) -> Vec<Canary> {
        if hash_tag(prefix.as_bytes()).is_some() {
            return vec![Canary::new(prefix)];
        }
        let mut canaries: Vec<Option<Canary>> = vec![None; self.primaries.len()];
        let mut missing = canaries.len();
        while missing > 0 {
            let canary = Canary::new(prefix);
            let Some(primary) = self.primary(slot(canary.key().as_bytes())) else { continue };
            if canaries[primary].is_none() {
                canaries[primary] = Some(canary);
                missing -= 1;
            }
        }
        canaries.into_iter().flatten().collect()
    }

    /// Which slots no primary serves, as a sentence.
    pub(crate) fn uncovered(&self) -> Option<String> {
        let mut next = 0;
        let mut gaps = Vec::new();
        let served = self.ranges.iter().map(|range| (range.first, range.last));
        for (first, last) in served.chain([(SLOTS, SLOTS)]) {
            match first - next {
                0 => {}
                1 => gaps.push(next.to_string()),
                _ => gaps.push(format!("{next}-{}", first - 1)),
            }
            next = last + 1;
        }
        match gaps.as_slice() {
            [] => None,
            [slot] if !slot.contains('-') => Some(format!("slot {slot} is served by no node")),
            gaps => Some(format!("slots {} are served by no node", gaps.join(", "))),
        }
    }
}

/// The address of a node. A node that does not know its own host announces an empty or unknown one, which means the host that was asked.
fn node(parts: &[Value], asked: &Node) -> Option<Node> {
    let [host, Value::Int(port), ..] = parts else { return None };
    let host = match host {
        Value::Nil => asked.bare_host(),
        Value::BulkString(host) if matches!(host.as_slice(), b"" | b"?") => asked.bare_host(),
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        _ => return None,
    };
    Some(Node::new(host, u16::try_from(*port).ok()?))
}

/// The hash slot of a key.
pub(crate) fn slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key).unwrap_or(key)) % SLOTS
}

/// The only part of a key that counts for its slot: the one in the first `{...}`, if that is not empty.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let start = key.iter().position(|byte| *byte == b'{')? + 1;
    let length = key[start..].iter().position(|byte| *byte == b'}')?;
    (length > 0).then(|| &key[start..start + length])
}

/// CRC-16/XMODEM, as in appendix A of the specification.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let [high, low] = crc.to_be_bytes();
        CRC16[usize::from(high ^ byte)] ^ (u16::from(low) << 8)
    })
}

/// The checksum of each byte.
const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte: u16 = 0;
    while byte < 256 {
        let mut crc = byte << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let primary = Value::Array(vec![host, Value::Int(port), bulk("id")]);
        Value::Array(vec![Value::Int(first), Value::Int(last), primary])
    }

    fn parse(ranges: Vec<Value>) -> SlotMap {
        SlotMap::parse(&Value::Array(ranges), &Node::new("seed", 7)).expect("a slot map")
    }

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn only_the_hash_tag_of_a_key_counts() {
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_ne!(slot(b"foo{}{bar}"), slot(b"bar"));
    }

    #[test]
    fn a_node_without_a_host_has_the_one_that_was_asked() {
        for host in [bulk(""), bulk("?"), Value::Nil] {
            let map = parse(vec![range(0, 16383, host, 1)]);
            assert_eq!(map.primaries(), [Node::new("seed", 1)]);
        }
    }

    #[test]
    fn slots_without_a_primary_are_found() {
        let uncovered = |ranges: &[(i64, i64)]| {
            let range = |&(first, last): &(i64, i64)| range(first, last, bulk("a"), 1);
            parse(ranges.iter().map(range).collect()).uncovered()
        };
        assert_eq!(uncovered(&[(8000, 16383), (0, 7999)]), None);
        assert_eq!(uncovered(&[]).as_deref(), Some("slots 0-16383 are served by no node"));
        assert_eq!(
            uncovered(&[(5461, 16383)]).as_deref(),
            Some("slots 0-5460 are served by no node")
        );
        assert_eq!(
            uncovered(&[(0, 0), (2, 16383)]).as_deref(),
            Some("slot 1 is served by no node")
        );
        assert_eq!(
            uncovered(&[(5, 9), (12, 16383)]).as_deref(),
            Some("slots 0-4, 10-11 are served by no node")
        );
        assert_eq!(uncovered(&[(0, 16382)]).as_deref(), Some("slot 16383 is served by no node"));
    }

    #[test]
    fn every_primary_has_a_canary() {
        let map = parse(vec![
            range(0, 8000, bulk("a"), 1),
            range(8001, 8001, bulk("b"), 1),
            range(8002, 16383, bulk("a"), 2),
        ]);
        let primaries = |prefix| {
            let canaries = map.canaries(prefix).into_iter();
            canaries.map(|canary| map.primary(slot(canary.key().as_bytes()))).collect::<Vec<_>>()
        };
        for prefix in ["", "app:", "{", "{}", "a}{"] {
            assert_eq!(primaries(prefix), [Some(0), Some(1), Some(2)], "{prefix}");
        }
        assert_eq!(primaries("{app}:"), [map.primary(slot(b"app"))]);
    }

    #[test]
    fn another_form_is_not_accepted() {
        let asked = Node::new("seed", 7);
        for reply in [
            Value::Okay,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(0, 70000, bulk("a"), 1)]),
            Value::Array(vec![range(0, 1, Value::Int(1), 1)]),
            Value::Array(vec![range(0, 1, bulk("a"), -1)]),
            Value::Array(vec![range(0, 16384, bulk("a"), 1)]),
            Value::Array(vec![range(2, 1, bulk("a"), 1)]),
            Value::Array(vec![range(0, 9, bulk("a"), 1), range(9, 16383, bulk("b"), 1)]),
        ] {
            assert!(SlotMap::parse(&reply, &asked).is_none(), "{reply:?}");
        }
    }
}
