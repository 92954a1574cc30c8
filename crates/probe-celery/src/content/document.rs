//! A decoded document.
//!
//! Its parts refer to each other by number, so that no recursion through it is unbounded.

use serde_json::{Map, Number, Value};

use super::MAX_DEPTH;

/// How many values a document may have once its references are resolved.
const MAX_VALUES: usize = 200_000;

/// A part of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Nothing, or something that is no plain data.
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<usize>),
    Map(Vec<(usize, usize)>),
}

/// Parts, and the number of the outermost one.
#[derive(Debug, Default)]
pub(super) struct Document {
    parts: Vec<Part>,
    root: usize,
}

impl Document {
    /// Adds a part and returns its number.
    pub(super) fn add(&mut self, part: Part) -> usize {
        self.parts.push(part);
        self.parts.len() - 1
    }

    pub(super) fn part(&mut self, number: usize) -> Option<&mut Part> {
        self.parts.get_mut(number)
    }

    pub(super) fn set_root(&mut self, number: usize) {
        self.root = number;
    }

    /// The document as a value; `None` if it is nested too deeply or too large.
    pub(super) fn value(&self) -> Option<Value> {
        self.value_of(self.root, MAX_DEPTH, &mut MAX_VALUES.clone())
    }

    fn value_of(&self, number: usize, depth: usize, left: &mut usize) -> Option<Value> {
        *left = left.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        Some(match self.parts.get(number)? {
            Part::Null => Value::Null,
            Part::Bool(value) => Value::Bool(*value),
            Part::Integer(value) => Value::Number((*value).into()),
            Part::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Part::Text(text) => Value::String(text.clone()),
            Part::List(items) => {
                let items = items.iter().map(|item| self.value_of(*item, depth, left));
                Value::Array(items.collect::<Option<_>>()?)
            }
            Part::Map(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let value = self.value_of(*value, depth, left)?;
                    // Keys of other types are of no interest.
                    if let Part::Text(key) = self.parts.get(*key)? {
                        map.insert(key.clone(), value);
                    }
                }
                Value::Object(map)
            }
        })
    }
}
