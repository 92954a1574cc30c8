//! YAML, of which only the texts are of interest: a plain number remains a text.

use saphyr_parser::{Event, Parser, ScalarStyle};
use std::collections::HashMap;

use super::document::{Document, Part};

/// A list or a map that is not complete: its number, and the items of it so far.
struct Open {
    number: usize,
    anchor: usize,
    items: Vec<usize>,
    is_map: bool,
}

/// Decodes the first document; `None` if it is something else.
pub(super) fn decode(body: &[u8]) -> Option<Document> {
    let (mut document, mut open, mut anchors) = (Document::default(), Vec::new(), HashMap::new());
    for event in Parser::new_from_str(std::str::from_utf8(body).ok()?) {
        let (number, anchor) = match event.ok()?.0 {
            Event::Scalar(text, style, anchor, _) => (document.add(scalar(&text, style)), anchor),
            Event::Alias(anchor) => (*anchors.get(&anchor)?, 0),
            Event::SequenceStart(anchor, _) => {
                let number = document.add(Part::List(Vec::new()));
                open.push(Open { number, anchor, items: Vec::new(), is_map: false });
                continue;
            }
            Event::MappingStart(anchor, _) => {
                let number = document.add(Part::Map(Vec::new()));
                open.push(Open { number, anchor, items: Vec::new(), is_map: true });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Open { number, anchor, items, is_map } = open.pop()?;
                *document.part(number)? = if is_map {
                    Part::Map(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
                } else {
                    Part::List(items)
                };
                (number, anchor)
            }
            Event::DocumentEnd => return Some(document),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {
                continue;
            }
        };
        if anchor > 0 {
            anchors.insert(anchor, number);
        }
        match open.last_mut() {
            Some(Open { items, .. }) => items.push(number),
            None => document.set_root(number),
        }
    }
    None
}

fn scalar(text: &str, style: ScalarStyle) -> Part {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Part::Null,
        _ => Part::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(text: &str, expected: Option<&Value>) {
        assert_eq!(
            decode(text.as_bytes()).and_then(|document| document.value()).as_ref(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn texts_are_decoded() {
        // What PyYAML writes, with a reference to an equal object.
        check(
            "w1@host:\n- alias: null\n  bindings: &id001 []\n  name: high\n- bindings: *id001\n  name: '5'\n",
            Some(
                &json!({"w1@host": [{"alias": null, "bindings": [], "name": "high"}, {"bindings": [], "name": "5"}]}),
            ),
        );
        check("w1@host:\n  ok: pong\n", Some(&json!({"w1@host": {"ok": "pong"}})));
        check("a: *b\n", None);
        check("a: [b\n", None);
        check("", None);
    }
}
