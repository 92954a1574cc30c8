//! Entry points for the fuzzer: what a server sends.

use redis::{Parser, Value};

use crate::cluster::slots::SlotMap;
use crate::deployment::Node;
use crate::scanner::Scanner;
use crate::{Reply, error, role};

/// Scans `bytes` in two parts and decodes every complete reply, and returns the results.
///
/// The library decodes only what the scanner has accepted.
pub fn replies(bytes: &[u8]) -> String {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut scanner = Scanner::default();
    if let Err(violation) = scanner.scan(first).and_then(|()| scanner.scan(second)) {
        return format!("{violation:?}");
    }
    let (mut parser, mut rest, mut seen) = (Parser::new(), bytes, String::new());
    for _ in 0..scanner.replies() {
        match parser.parse_value(&mut rest) {
            Ok(value) => seen.push_str(&read(value)),
            Err(error) => {
                seen.push_str(&error.to_string());
                break;
            }
        }
    }
    seen
}

/// Reads a reply as each kind that the client asks for.
fn read(value: Value) -> String {
    let asked = Node::new("redis", 6379);
    let slots = SlotMap::parse(&value, &asked).map(|map| (map.primaries().len(), map.uncovered()));
    let (primary, verified) = (role::is_primary(&value), role::verify(&value));
    let lag = role::replication_lag(&value);
    let verified = verified.map_err(|failure| failure.render(""));
    match error::check_reply("read", value) {
        Ok(value) => {
            let kind = match Reply::from(value) {
                Reply::List(items) => format!("{} items", items.len()),
                Reply::Text(_) => "text".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{kind} {slots:?} {primary} {lag:?} {verified:?} ")
        }
        Err(failure) => failure.render(""),
    }
}
