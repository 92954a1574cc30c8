//! Bounds the depth of field tables, which the library parses recursively.

use amq_protocol::types::AMQPType;

/// The largest number of nested tables and arrays.
pub(crate) const MAX_DEPTH: usize = 32;

/// Why a payload must not reach the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableError {
    /// Tables and arrays are nested more than [`MAX_DEPTH`] levels deep.
    TooDeep,
    /// The payload is truncated, or has a method or a type of value that no broker sends.
    Malformed,
}

/// `connection.start`, the only method with a table that a broker sends.
const START: (u16, u16) = (10, 10);
/// The methods with a table that only clients send: `start-ok`, and those that declare, bind, unbind and consume.
const CLIENT_METHODS: [(u16, u16); 8] =
    [(10, 11), (40, 10), (40, 30), (40, 40), (50, 10), (50, 20), (50, 50), (60, 20)];

/// Verifies the table in the payload of a method frame, if the method has one.
pub(crate) fn verify_method(mut payload: &[u8]) -> Result<(), TableError> {
    match (take_u16(&mut payload)?, take_u16(&mut payload)?) {
        START => {
            let _version = take_u16(&mut payload)?;
            verify(payload)
        }
        method if CLIENT_METHODS.contains(&method) => Err(TableError::Malformed),
        _ => Ok(()),
    }
}

/// Verifies the `headers` among the properties in the payload of a header frame.
pub(crate) fn verify_header(mut payload: &[u8]) -> Result<(), TableError> {
    // The class, the weight and the size of the body.
    take(&mut payload, 12)?;
    let flags = take_u16(&mut payload)?;
    for flag in [15, 14] {
        // `content-type` and `content-encoding`.
        if flags >> flag & 1 == 1 {
            take_short_string(&mut payload)?;
        }
    }
    if flags >> 13 & 1 == 1 { verify(payload) } else { Ok(()) }
}

/// Verifies the table at the beginning of `bytes`, without recursion.
fn verify(mut bytes: &[u8]) -> Result<(), TableError> {
    // The unread content of each open table or array, and whether it is a table.
    let mut open = vec![(take_sized(&mut bytes)?, true)];
    while let Some((content, is_table)) = open.last_mut() {
        if content.is_empty() {
            open.pop();
            continue;
        }
        if *is_table {
            take_short_string(content)?;
        }
        let kind = AMQPType::from_id(take(content, 1)?[0].into()).ok_or(TableError::Malformed)?;
        if !matches!(kind, AMQPType::FieldTable | AMQPType::FieldArray) {
            take_scalar(content, kind)?;
            continue;
        }
        let inner = take_sized(content)?;
        if open.len() == MAX_DEPTH {
            return Err(TableError::TooDeep);
        }
        open.push((inner, kind == AMQPType::FieldTable));
    }
    Ok(())
}

fn take_scalar(bytes: &mut &[u8], kind: AMQPType) -> Result<(), TableError> {
    let size = match kind {
        AMQPType::Void => 0,
        AMQPType::Boolean | AMQPType::ShortShortInt | AMQPType::ShortShortUInt => 1,
        AMQPType::ShortInt | AMQPType::ShortUInt => 2,
        AMQPType::LongInt | AMQPType::LongUInt | AMQPType::Float => 4,
        AMQPType::DecimalValue => 5,
        AMQPType::LongLongInt | AMQPType::LongLongUInt | AMQPType::Double | AMQPType::Timestamp => {
            8
        }
        AMQPType::LongString | AMQPType::ByteArray => return take_sized(bytes).map(drop),
        // A short string has no type of its own in RabbitMQ.
        AMQPType::ShortString | AMQPType::FieldTable | AMQPType::FieldArray => {
            return Err(TableError::Malformed);
        }
    };
    take(bytes, size).map(drop)
}

/// Takes a length of four bytes, and returns the bytes that it counts.
fn take_sized<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], TableError> {
    let length = take(bytes, 4)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    take(bytes, length)
}

fn take_short_string(bytes: &mut &[u8]) -> Result<(), TableError> {
    let length = take(bytes, 1)?[0];
    take(bytes, length.into()).map(drop)
}

fn take_u16(bytes: &mut &[u8]) -> Result<u16, TableError> {
    take(bytes, 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], TableError> {
    bytes.split_off(..length).ok_or(TableError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `depth` nested tables or arrays, of which the outermost is a table.
    fn nested(depth: usize, kind: u8) -> Vec<u8> {
        let mut table: Vec<u8> = Vec::new();
        for level in 1..depth {
            let name: &[u8] = if kind == b'F' || level == depth - 1 { b"\x01n" } else { b"" };
            table = [name, &[kind], &sized(&table)].concat();
        }
        sized(&table)
    }

    fn sized(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("a short table");
        [&length.to_be_bytes(), content].concat()
    }

    #[test]
    fn tables_and_arrays_are_counted() {
        for kind in [b'F', b'A'] {
            assert_eq!(verify(&nested(MAX_DEPTH, kind)), Ok(()));
            assert_eq!(verify(&nested(MAX_DEPTH + 1, kind)), Err(TableError::TooDeep));
            assert_eq!(verify(&nested(1_900, kind)), Err(TableError::TooDeep));
        }
    }

    #[test]
    fn many_tables_side_by_side_are_not_deep() {
        let entry = [&b"\x01nF"[..], &nested(2, b'F')].concat();
        assert_eq!(verify(&sized(&entry.repeat(1_000))), Ok(()));
    }

    #[test]
    fn a_length_beyond_its_table_is_malformed() {
        for length in [1_u32, 1 << 31, u32::MAX] {
            let entry = [&b"\x01nS"[..], &length.to_be_bytes()].concat();
            assert_eq!(verify(&sized(&entry)), Err(TableError::Malformed));
            assert_eq!(verify(&length.to_be_bytes()), Err(TableError::Malformed));
        }
    }

    #[test]
    fn every_value_that_the_library_encodes_is_read() {
        use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
        use amq_protocol::protocol::BasicProperties;
        use amq_protocol::types::{AMQPValue, DecimalValue, FieldTable};
        let mut table = FieldTable::default();
        let values = [
            AMQPValue::Boolean(true),
            AMQPValue::ShortShortInt(1),
            AMQPValue::ShortShortUInt(1),
            AMQPValue::ShortInt(1),
            AMQPValue::ShortUInt(1),
            AMQPValue::LongInt(1),
            AMQPValue::LongUInt(1),
            AMQPValue::LongLongInt(1),
            AMQPValue::Float(1.0),
            AMQPValue::Double(1.0),
            AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 1 }),
            AMQPValue::LongString("text".into()),
            AMQPValue::Timestamp(1),
            AMQPValue::ByteArray(vec![1, 2].into()),
            AMQPValue::Void,
        ];
        for (name, value) in values.iter().enumerate() {
            table.insert(name.to_string().into(), value.clone());
        }
        table.insert("array".into(), AMQPValue::FieldArray(values.to_vec().into()));
        table.insert("table".into(), AMQPValue::FieldTable(table.clone()));
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_headers(table);
        let header = AMQPContentHeader { class_id: 60, body_size: 0, properties };
        let mut frame = bytes::BytesMut::new();
        crate::frames::encode(&AMQPFrame::Header(1, header), &mut frame).expect("a frame");
        assert_eq!(verify_header(&frame[7..frame.len() - 1]), Ok(()));
    }
}
