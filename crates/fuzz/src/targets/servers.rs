//! What servers answer, in each protocol that the product decodes by itself.

use super::{Target, block_on, runtime};

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "1e999",
    "-0",
    "\\u0000",
    "\\ud800",
    "{\"a\":",
    "\"errors\":[",
    "\"auth\":{",
    "\"client_token\":\"t\"",
    "\"lease_duration\":",
    "\"renewable\":true",
    "\"data\":{",
    "\"ttl\":",
    "\"creation_ttl\":",
    "\"initialized\":true",
    "\"sealed\":false",
    "\"metadata\":{",
    "\"deletion_time\":\"x\"",
    "\"status\":",
    "\"SUCCESS\"",
    "\"FAILURE\"",
    "\"result\":{",
    "\"exc_type\":",
    "\"body\":",
    "\"headers\":{",
    "\"ticket\":\"ticket\"",
    "\"properties\":{\"body_encoding\":\"base64\"}",
    "\"name\":",
    "w@h",
];

/// Replies in RESP.
pub(super) const REDIS: Target = Target {
    name: "redis",
    about: "replies of Redis",
    max_length: 64 * 1024,
    words: &[
        "*1\r\n",
        "*2\r\n",
        "*-1\r\n",
        "$-1\r\n",
        "$0\r\n\r\n",
        "$3\r\nabc\r\n",
        "+OK\r\n",
        "-ERR ",
        "-MOVED 1 h:1\r\n",
        ":",
        "\r\n",
        "*",
        "$",
        "$6\r\nmaster\r\n",
        "$5\r\nslave\r\n",
        "%",
        "~",
        "_\r\n",
        "#t\r\n",
    ],
    repair: None,
    start: || Box::new(|input| Ok(redis_client::fuzzing::replies(input))),
};

/// Replies of workers, and messages of kombu.
pub(super) const CELERY: Target = Target {
    name: "celery",
    about: "replies of workers, kombu's messages, results",
    max_length: 64 * 1024,
    words: JSON,
    repair: None,
    start: || Box::new(|input| Ok(probe_celery::fuzzing::reply(input))),
};

/// Bindings of kombu in Redis.
pub(super) const BINDINGS: Target = Target {
    name: "celery-bindings",
    about: "kombu's bindings",
    max_length: 256 * 1024,
    words: &["\u{6}\u{16}", "::", "health-gateway.", "w@h.celery.pidbox", "\n", "aaaaaaaa", "ö"],
    repair: None,
    start: || Box::new(|input| Ok(probe_celery::fuzzing::bindings(input))),
};

/// The negotiation of TLS, the login, and the answer to a query.
pub(super) const POSTGRES: Target = Target {
    name: "postgres",
    about: "negotiation, login and rows of PostgreSQL",
    max_length: 64 * 1024,
    words: &[
        "N",
        "S",
        "R\0\0\0\u{8}\0\0\0\0",
        "Z\0\0\0\u{5}I",
        "SFATAL\0",
        "C28P01\0",
        "Mno\0",
        "server_version\0",
        "SCRAM-SHA-256\0",
        "\0\0\0\u{8}",
    ],
    repair: Some(repair_postgres),
    start: || {
        let runtime = runtime();
        Box::new(move |input| block_on(&runtime, probe_postgres::fuzzing::session(input)))
    },
};

/// The response to an upgrade request.
pub(super) const WEBSOCKET_RESPONSE: Target = Target {
    name: "websocket-response",
    about: "the handshake of WebSocket",
    max_length: 64 * 1024,
    words: &[
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.0 200 OK\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "Sec-WebSocket-Protocol: ",
        "Sec-WebSocket-Extensions: ",
        "Location: ",
        "WWW-Authenticate: ",
        "\r\n",
        ":",
        ",",
    ],
    repair: None,
    start: || Box::new(|input| Ok(probe_websocket::fuzzing::response(input))),
};

/// Frames of a WebSocket.
pub(super) const WEBSOCKET: Target = Target {
    name: "websocket",
    about: "frames of WebSocket",
    max_length: 64 * 1024,
    words: &["\u{1}\u{1}", "\0\u{1}a", "~", "\u{7f}"],
    repair: None,
    start: || {
        let runtime = runtime();
        Box::new(move |input| block_on(&runtime, probe_websocket::fuzzing::messages(input)))
    },
};

/// Responses of ClickHouse. The first two bytes are the status.
pub(super) const CLICKHOUSE: Target = Target {
    name: "clickhouse",
    about: "responses of ClickHouse",
    max_length: 64 * 1024,
    words: &[
        "Code: ",
        ". ",
        "DB::Exception: ",
        "e.displayText() = ",
        ", e.what() = ",
        " (version ",
        "1\n",
        "\n",
        "516",
    ],
    repair: None,
    start: || {
        Box::new(|input| {
            let (status, body) = status(input);
            Ok(probe_history::fuzzing::clickhouse_response(status, body))
        })
    },
};

/// Responses of Vault. The first two bytes are the status.
pub(super) const VAULT: Target = Target {
    name: "vault",
    about: "responses of Vault",
    max_length: 256 * 1024,
    words: JSON,
    repair: None,
    start: || {
        Box::new(|input| {
            let (status, body) = status(input);
            let types = ["application/json", "text/plain", "", "text/html; charset=utf-8"];
            let content_type = types[usize::from(status) % types.len()];
            Ok(vault_client::fuzzing::response(status, content_type, body))
        })
    },
};

/// The status of a response, and its body.
fn status(input: &[u8]) -> (u16, &[u8]) {
    let Some((head, body)) = input.split_first_chunk() else { return (200, input) };
    (100 + u16::from_be_bytes(*head) % 500, body)
}

/// Gives every message of PostgreSQL a length that fits, after the byte that answers the request for TLS.
fn repair_postgres(mut input: Vec<u8>) -> Vec<u8> {
    const TYPES: &[u8] = b"RKSZTDCEN";
    let mut at = 1;
    while at + 5 <= input.len() {
        let rest = input.len() - at - 1;
        let length = [input[at + 1], input[at + 2], input[at + 3], input[at + 4]];
        let mut length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length < 4 || length > rest {
            // Up to the next byte that may begin a message.
            let next = input[at + 5..].iter().position(|byte| TYPES.contains(byte));
            length = next.map_or(rest, |next| next + 4);
            let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
            input[at + 1..at + 5].copy_from_slice(&length);
        }
        at += 1 + length;
    }
    input
}
