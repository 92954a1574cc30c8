//! URLs of backends with a planted secret, as the setting of every kind of probe.

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
        "redis://",
        "rediss://",
        "redis-cluster://",
        "redis-sentinel://",
        "unix://",
        "sentinel://",
        "amqp://",
        "amqps://",
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

#[expect(clippy::expect_used, reason = "the sections are valid")]
fn start() -> Call {
    let runtime = runtime();
    let sections: Vec<_> = SECTIONS
        .iter()
        .map(|(name, text)| {
            let kind = KINDS.iter().find(|kind| kind.name == *name).expect("a known kind");
            (kind, Node::parse(text).expect("TOML"))
        })
        .collect();
    Box::new(move |input| {
        let _entered = runtime.enter();
        let text = String::from_utf8_lossy(input);
        let is_secret = is_secret_in_url(&text);
        let url = text.replace(PLACEHOLDER, SECRET);
        let mut result = match Url::parse(&url) {
            Ok(url) => format!("{:?} {} {}", url, url.authority(1), url.host()),
            Err(message) => message,
        };
        for (kind, section) in &sections {
            result.push_str(&outputs(kind, section, &url));
        }
        if is_secret && leak(result.lines()).is_some() {
            let lines: Vec<_> = result.lines().filter(|line| leak([*line]).is_some()).collect();
            return Err(format!("the secret is in {lines:?}"));
        }
        // The text itself would make every result a new one.
        Ok(result.replace(SECRET, "").chars().filter(char::is_ascii_alphabetic).collect())
    })
}

/// Everything that a section with this URL shows: errors and notes, or the targets and the permissions of its checks.
fn outputs(kind: &Kind, section: &Node, url: &str) -> String {
    let (section, diagnostics) = (with_url(section, url), Diagnostics::default());
    let mut outputs = String::new();
    let checks = kind.read(kind.name, &section, &SharedResources::default(), &diagnostics);
    for check in checks.iter().flat_map(Checks::iter) {
        outputs.extend(["\n", check.target()]);
        match check.grants() {
            Ok(grants) => {
                for (principal, statement) in statements(grants) {
                    outputs.extend([
                        "\n".to_owned(),
                        format!("{principal:?}"),
                        " ".to_owned(),
                        statement,
                    ]);
                }
            }
            Err(failure) => outputs.push_str(&failure.render("")),
        }
    }
    for note in diagnostics.take_notes().into_iter().chain(diagnostics.into_diagnostics()) {
        outputs.extend(["\n".to_owned(), note.to_string()]);
    }
    outputs
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
