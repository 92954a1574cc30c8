//! The serializers of kombu: encodes requests, and decodes replies and results.
//!
//! Their names and content types: `kombu/serialization.py` of kombu 5.

mod document;
mod pickle;
mod yaml;

use std::fmt;

use probe::config::{FromNode, Node, ValueError};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How deeply a decoded value may be nested.
const MAX_DEPTH: usize = 32;

/// A serializer of kombu.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Serializer {
    #[default]
    Json,
    Msgpack,
    Yaml,
    Pickle,
}

impl Serializer {
    /// All of them, the preferred one first.
    pub(crate) const ALL: [Self; 4] = [Self::Json, Self::Msgpack, Self::Yaml, Self::Pickle];

    /// The name in Celery's settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::Yaml => "yaml",
            Self::Pickle => "pickle",
        }
    }

    /// The content type of its messages.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Msgpack => "application/x-msgpack",
            Self::Yaml => "application/x-yaml",
            Self::Pickle => "application/x-python-serialize",
        }
    }

    /// The content encoding of its messages.
    pub(crate) fn content_encoding(self) -> &'static str {
        match self {
            Self::Json | Self::Yaml => "utf-8",
            Self::Msgpack | Self::Pickle => "binary",
        }
    }

    /// The serializer of messages with this content type. Those without one are in JSON.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        if content_type.is_empty() {
            return Some(Self::Json);
        }
        Self::ALL.into_iter().find(|serializer| serializer.content_type() == content_type)
    }

    /// The serializer that a stored value seems to have.
    pub(crate) fn guess(body: &[u8]) -> Self {
        match body {
            [0x80, 2..=5, ..] => Self::Pickle,
            [0x81..=0x8f | 0xde | 0xdf, ..] => Self::Msgpack,
            [b'{', ..] => Self::Json,
            _ => Self::Yaml,
        }
    }

    /// Encodes `value`, which is plain data of the gateway's own.
    pub(crate) fn encode(self, value: &Value) -> Vec<u8> {
        match self {
            // JSON is YAML.
            Self::Json | Self::Yaml => value.to_string().into_bytes(),
            Self::Msgpack => rmp_serde::to_vec(value).unwrap_or_default(),
            Self::Pickle => pickle::encode(value),
        }
    }

    /// Decodes `body`; `None` if it is something else, nested too deeply, or too large once its references are resolved.
    pub(crate) fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Option<T> {
        match self {
            Self::Json => serde_json::from_slice(body).ok(),
            Self::Msgpack => {
                let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
                deserializer.set_max_depth(MAX_DEPTH);
                T::deserialize(&mut deserializer).ok()
            }
            Self::Yaml => serde_json::from_value(yaml::decode(body)?.value()?).ok(),
            Self::Pickle => serde_json::from_value(pickle::decode(body)?.value()?).ok(),
        }
    }
}

/// The value of Celery's setting `accept_content`: what the workers accept.
#[derive(Clone)]
pub(crate) struct AcceptContent {
    names: Vec<String>,
}

/// Prints the value as written.
impl fmt::Debug for AcceptContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names.fmt(f)
    }
}

impl AcceptContent {
    /// The serializer of requests: the first that the workers accept and the gateway knows.
    pub(crate) fn serializer(&self) -> Result<Serializer, String> {
        let is_accepted = |serializer: &Serializer| {
            self.names
                .iter()
                .any(|name| *name == serializer.name() || *name == serializer.content_type())
        };
        Serializer::ALL.into_iter().find(is_accepted).ok_or_else(|| {
            "expected `json`, `msgpack`, `yaml` or `pickle` among them: the gateway knows no others, and cannot sign messages".to_owned()
        })
    }
}

impl Default for AcceptContent {
    fn default() -> Self {
        Self { names: vec![Serializer::Json.name().to_owned()] }
    }
}

impl FromNode for AcceptContent {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        Ok(Self { names: Vec::from_node(node)? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_serializer_encodes_it_decodes() {
        let value = json!({"a": [null, true, false, 1, -70_000, 5_000_000_000_u64, 1.5], "é": {"b": "c: \"d\""}});
        for serializer in [Serializer::Json, Serializer::Msgpack, Serializer::Pickle] {
            let body = serializer.encode(&value);
            assert_eq!(serializer.decode(&body), Some(value.clone()), "{serializer:?}");
            assert_eq!(Serializer::guess(&body), serializer);
            assert_eq!(Serializer::of(serializer.content_type()), Some(serializer));
        }
        // In YAML, only texts are of interest.
        let value = json!({"a": [null, "b", {"c": "1"}]});
        let body = Serializer::Yaml.encode(&value);
        assert_eq!(Serializer::Yaml.decode(&body), Some(value));
    }

    /// A value in a list in a list ..., `depth` times, for each serializer.
    fn nested(depth: usize) -> [(Serializer, Vec<u8>); 4] {
        let brackets = [vec![b'['; depth], vec![b']'; depth]].concat();
        let mut msgpack = vec![0x91; depth];
        msgpack.push(0xc0);
        let tuples = [b"\x80\x02N".to_vec(), vec![0x85; depth], vec![b'.']].concat();
        [
            (Serializer::Json, brackets.clone()),
            (Serializer::Yaml, brackets),
            (Serializer::Msgpack, msgpack),
            (Serializer::Pickle, tuples),
        ]
    }

    #[test]
    fn a_value_that_is_nested_too_deeply_is_no_value_and_harms_nothing() {
        // Half of what a worker of the runtime has. With a frame for each level, the thread would run out of it; `serde_json` stops after 128 levels.
        let thread = std::thread::Builder::new().stack_size(1024 * 1024);
        let check = || {
            for (serializer, body) in nested(MAX_DEPTH - 2) {
                assert!(serializer.decode::<Value>(&body).is_some(), "{serializer:?}");
            }
            for (serializer, body) in nested(500_000) {
                assert!(serializer.decode::<Value>(&body).is_none(), "{serializer:?}");
            }
            // Lists that are nested on the stack, by appending each to the one below.
            let depth = 500_000;
            let lists = [b"\x80\x02".to_vec(), vec![b']'; depth], vec![b'a'; depth - 1]];
            let body = [lists.concat(), vec![b'.']].concat();
            assert!(Serializer::Pickle.decode::<Value>(&body).is_none());
        };
        thread.spawn(check).expect("a thread").join().expect("no overflow");
    }

    #[test]
    fn references_do_not_multiply_a_value() {
        // 2^30 texts in YAML, and in pickle lists that contain the one before ten times.
        let mut yaml = vec!["a0: &a0 [x, x]\n".to_owned()];
        let mut pickle = b"\x80\x02]q\x00".to_vec();
        for level in 1..30_u8 {
            let before = level - 1;
            yaml.push(format!("a{level}: &a{level} [*a{before}, *a{before}]\n"));
            pickle.extend([b']', b'q', level, b'(']);
            pickle.extend([b'h', before].repeat(10));
            pickle.push(b'e');
        }
        pickle.push(b'.');
        assert!(Serializer::Yaml.decode::<Value>(yaml.concat().as_bytes()).is_none());
        assert!(Serializer::Pickle.decode::<Value>(&pickle).is_none());
        // A list that contains itself.
        assert!(Serializer::Pickle.decode::<Value>(b"\x80\x02]q\x00h\x00a.").is_none());
    }

    #[test]
    fn a_worker_accepts_what_its_setting_names() {
        let serializer = |names: &[&str]| {
            AcceptContent { names: names.iter().map(ToString::to_string).collect() }.serializer()
        };
        assert_eq!(serializer(&["pickle", "json"]), Ok(Serializer::Json));
        assert_eq!(serializer(&["application/x-python-serialize"]), Ok(Serializer::Pickle));
        assert!(serializer(&["auth"]).is_err());
    }
}
