//! URLs of backends with a planted secret, as the setting of every kind of probe.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use gateway::kinds::KINDS;
use probe::config::{Diagnostics, Node, Url, Value};
use probe::{Checks, Kind, SharedResources, statements};

use super::{Call, Target, runtime};
use crate::planted::{PLACEHOLDER, SECRET, is_secret_in_url, leak};

/// A URL in which a placeholder stands for the secret.
pub(super) const URL: Target = Target {
    name: "url",
    about: "connection URLs with planted secrets",
    max_length: 1024,
    words: &[
        "{S}",
        "postgres://",
        "postgresql://",
        "postgresql+psycopg2://",
        "jdbc:postgresql://",
        "postgis://",
        "redis://",
        "rediss://",
        "valkey://",
        "rediss-cluster://",
        "rediss-sentinel://",
        "redis+socket://",
        "redis-socket://",
        "redis-cluster://",
        "redis-sentinel://",
        "unix://",
        "sentinel://",
        "amqp://",
        "amqps://",
        "pyamqp://",
        "http://",
        "https://",
        "ws://",
        "wss://",
        "rpc://",
        "u:",
        ":",
        "@",
        "/",
        "?",
        "#",
        "&",
        "=",
        ";",
        ",",
        "[::1]",
        ":5432",
        "%40",
        "%2F",
        "%3A",
        "%25",
        "%00",
        "%",
        "+",
        " ",
        "\\",
        "\t",
        "\n",
        "password=",
        "user=",
        "host=",
        "sslmode=",
        "require",
        "options=",
        "sentinelPassword=",
        "sentinelServiceName=m",
        "node=",
        "token=",
        "secret=",
        "db=",
        "heartbeat=",
        "ö",
        "xn--",
    ],
    repair: None,
    start,
};

/// The placeholder for the URL in a section.
const HERE: &str = "URL";

/// Sections with every setting that is a URL, and the kind that reads them.
const SECTIONS: &[(&str, &str)] = &[
    ("postgres", "url = 'URL'\nwrite = 'off'"),
    ("redis", "url = 'URL'"),
    ("cache", "data = 'URL'"),
    ("rabbit", "url = 'URL'"),
    ("rabbit", "url = 'amqp://u:p@h'\nqueues = ['a']\nmanagement = 'URL'"),
    ("celery", "broker = 'URL'\nqueues = ['a']"),
    ("celery", "broker = 'amqp://u:p@h'\nqueues = ['a']\ncanary = true\nresult_backend = 'URL'"),
    ("vault", "url = 'URL'\ntoken = 't'"),
    ("websocket", "url = 'URL'"),
    (
        "history",
        "[clickhouse]\nurl = 'URL'\nuser = 'u'\npassword = 'p'\ndatabase = 'd'\ntable = 't'",
    ),
    ("history", "[api]\nurl = 'URL'"),
    ("s3", "[a]\nbucket = 'b'\nregion = 'r'\nendpoint_url = 'URL'"),
    ("cloud_front", "[a]\ndistribution = 'E1'\nobject = '/'\naddress = 'URL'"),
];

/// A section that does not take the scheme of a URL reads one in so many of them.
const OTHERS: usize = 8;

/// A section, the kind that reads it, and the schemes that its URL may have.
struct Reader {
    kind: &'static Kind,
    section: Node,
    schemes: Vec<&'static str>,
}

impl Reader {
    #[expect(clippy::expect_used, reason = "the sections are valid")]
    fn new(name: &str, text: &str) -> Self {
        let kind = KINDS.iter().find(|kind| kind.name == name).expect("a known kind");
        let section = Node::parse(text).expect("TOML");
        let schemes = URL.words.iter().filter_map(|word| word.strip_suffix("://"));
        let is_taken = |scheme: &&str| {
            let Outputs { messages, .. } = outputs(kind, &section, &format!("{scheme}://u:p@h/1"));
            !messages.contains("URL that begins with")
        };
        let schemes = schemes.filter(is_taken).collect();
        Self { kind, section, schemes }
    }
}

fn start() -> Call {
    let runtime = runtime();
    let entered = runtime.enter();
    let readers: Vec<_> = SECTIONS.iter().map(|(name, text)| Reader::new(name, text)).collect();
    drop(entered);
    let mut turn = 0;
    Box::new(move |input| {
        let _entered = runtime.enter();
        let text = String::from_utf8_lossy(input);
        let is_secret = is_secret_in_url(&text);
        let url = text.replace(PLACEHOLDER, SECRET);
        let (mut shown, mut path) = match Url::parse(&url) {
            Ok(url) => (format!("{:?} {} {}", url, url.authority(1), url.host()), String::new()),
            Err(message) => (message.clone(), message),
        };
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        turn += 1;
        for (at, Reader { kind, section, schemes }) in readers.iter().enumerate() {
            // All refuse another scheme in the same way, so reading each is not worth its time.
            let is_taken = scheme.as_ref().is_some_and(|it| schemes.contains(&it.as_str()));
            if !is_taken && (turn + at) % OTHERS > 0 {
                continue;
            }
            let Outputs { targets, messages } = outputs(kind, section, &url);
            if is_taken {
                path.extend(digest(&messages));
            }
            shown.extend([targets, messages]);
        }
        if is_secret && leak(shown.lines()).is_some() {
            let lines: Vec<_> = shown.lines().filter(|line| leak([*line]).is_some()).collect();
            return Err(format!("the secret is in {lines:?}"));
        }
        Ok(path)
    })
}

/// Everything that a section shows, each on a line of its own.
#[derive(Default)]
struct Outputs {
    /// The targets and the permissions of its checks, which name hosts and users.
    targets: String,
    /// Errors and notes, which quote nothing of the URL.
    messages: String,
}

/// The outputs of a section with this URL.
fn outputs(kind: &Kind, section: &Node, url: &str) -> Outputs {
    let (section, diagnostics) = (with_url(section, url), Diagnostics::default());
    let Outputs { mut targets, mut messages } = Outputs::default();
    let shared = SharedResources::default();
    let checks = kind.read(kind.name, &section, &shared, &BTreeSet::new(), &diagnostics);
    for check in checks.iter().flat_map(Checks::iter) {
        targets.extend(["\n", check.target()]);
        match check.grants() {
            Ok(grants) => {
                for (principal, statement) in statements(grants) {
                    targets.extend(["\n", &format!("{principal:?} {statement}")]);
                }
            }
            Err(failure) => targets.push_str(&failure.render("")),
        }
    }
    for note in diagnostics.take_notes().into_iter().chain(diagnostics.into_diagnostics()) {
        messages.extend(["\n", &note.to_string()]);
    }
    Outputs { targets, messages }
}

/// A digest in letters, since results are compared without their numbers.
fn digest(messages: &str) -> impl Iterator<Item = char> + use<> {
    let mut hasher = DefaultHasher::new();
    messages.hash(&mut hasher);
    hasher.finish().to_le_bytes().into_iter().map(|byte| char::from(b'a' + byte % 26))
}

/// The section with this URL.
fn with_url(node: &Node, url: &str) -> Node {
    let value = match &node.value {
        Value::String(text) if text == HERE => Value::String(url.to_owned()),
        Value::Table(entries) => {
            let entry = |(key, node): &(String, Node)| (key.clone(), with_url(node, url));
            Value::Table(entries.iter().map(entry).collect())
        }
        other => other.clone(),
    };
    Node { line: node.line, value }
}
