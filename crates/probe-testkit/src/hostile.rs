//! Answers that try to exhaust the memory, the stack or the time of a client.

use std::fmt;
use std::sync::Arc;

/// The lengths that hostile answers declare. Neither fits into memory, and the first does not fit into an `i32`.
const LENGTHS: [u64; 2] = [1 << 31, 1 << 62];
/// The size of a hostile answer that ends: as large as the gateway accepts.
const COMPLETE: usize = 1024 * 1024 - 64;

/// An answer that a hostile backend sends in place of its own.
#[derive(Clone)]
pub struct Hostile {
    /// The name that the failure of a test shows.
    pub(crate) name: String,
    /// The backend's own answer is passed on up to and including these bytes.
    pub(crate) after: &'static [u8],
    /// Sent once.
    pub(crate) start: Arc<[u8]>,
    /// Sent repeatedly after `start` until the client closes the connection, unless it is empty.
    pub(crate) endless: Arc<[u8]>,
}

impl Hostile {
    /// Sends `start` once, and then `endless` repeatedly. If `endless` is empty, the connection stays open and silent.
    pub fn new(name: impl Into<String>, start: impl AsRef<[u8]>, endless: &[u8]) -> Self {
        let (start, endless) = (Arc::from(start.as_ref()), Arc::from(endless));
        Self { name: name.into(), after: b"", start, endless }
    }

    /// Passes on the backend's own answer up to and including `marker` before the hostile one.
    #[must_use]
    pub fn after(self, marker: &'static [u8]) -> Self {
        Self { after: marker, ..self }
    }

    /// Floods that belong to no protocol.
    pub fn floods() -> Vec<Self> {
        [b"\0", b"[", b"a", b"\xff"]
            .map(|byte| Self::new(format!("endless {byte:?}"), "", byte))
            .into()
    }

    /// Responses of HTTP/1.1, with bodies of JSON and XML.
    pub fn http() -> Vec<Self> {
        let mut all = Self::floods();
        all.extend(http_heads());
        for length in LENGTHS {
            let fixed = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            all.push(Self::new(format!("a declared body of {length} bytes"), &fixed, b""));
            all.push(Self::new(format!("a body of {length} bytes"), &fixed, b"["));
            let chunked =
                format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n");
            all.push(Self::new(format!("a chunk of {length} bytes"), chunked, b"["));
        }
        for status in ["200 OK", "400 Bad Request"] {
            all.extend(bodies().map(|(name, kind, body)| {
                Self::new(format!("{status} with {name}"), http_response(status, kind, &body), b"")
            }));
        }
        all
    }

    /// Frames of AMQP 0-9-1.
    pub fn amqp() -> Vec<Self> {
        let mut all = Self::floods();
        // The type and the channel of a frame; its length follows.
        for frame in [b"\x01\0\0", b"\x02\0\x01", b"\x03\0\x01"] {
            let length = [&frame[..], b"\x80\0\0\0"].concat();
            all.push(Self::new(
                format!("a frame of type {} of 2^31 bytes", frame[0]),
                length,
                b"\0",
            ));
        }
        let start = nested_start(1900);
        all.push(Self::new("connection.start with 1,900 nested tables", start, b""));
        for length in LENGTHS {
            // The class, the weight, the size of the body and no properties.
            let payload = [b"\0\x3c\0\0", &length.to_be_bytes()[..], b"\0\0"].concat();
            let header = amqp_frame(2, 1, &payload);
            let body = amqp_frame(3, 1, &[0; 4096]);
            all.push(Self::new(format!("a body of {length} bytes"), header, &body));
        }
        all.push(Self::new("endless heartbeats", "", &amqp_frame(8, 0, b"")));
        all
    }

    /// Messages of PostgreSQL's protocol 3.0.
    pub fn postgres() -> Vec<Self> {
        let mut all = Self::floods();
        for kind in *b"RESDTN" {
            for length in [[0x7f, 0xff, 0xff, 0xff], [0x80, 0, 0, 0]] {
                let head = [&[kind], &length[..]].concat();
                let name = format!("`{}` of {length:x?} bytes", char::from(kind));
                all.push(Self::new(name.clone(), &head, b""));
                all.push(Self::new(format!("{name}, sent"), &head, b"\0"));
            }
        }
        all.push(Self::new("endless notices", "", b"N\0\0\0\x0cSNOTICE\0"));
        all.push(Self::new("endless parameters", "", b"S\0\0\0\x08a\0b\0"));
        all
    }

    /// Responses to the handshake of a WebSocket, and frames after it.
    pub fn websocket() -> Vec<Self> {
        let mut all = Self::floods();
        all.extend(http_heads());
        let mut frames = Self::floods();
        for length in LENGTHS {
            let head = [b"\x81\x7f", &length.to_be_bytes()[..]].concat();
            frames.push(Self::new(format!("a declared frame of {length} bytes"), &head, b""));
            frames.push(Self::new(format!("a frame of {length} bytes"), &head, b"["));
        }
        // 4,096 bytes of a message that never ends.
        let fragment = [b"\0\x7e\x10\0", &[b'a'; 4096][..]].concat();
        frames.push(Self::new("endless fragments", b"\x01\0", &fragment));
        frames.push(Self::new("endless empty fragments", b"\x01\0", b"\0\0"));
        frames.push(Self::new("endless pings", "", b"\x89\0"));
        all.extend(frames.into_iter().map(|frame| frame.after(b"\r\n\r\n")));
        all
    }

    /// Replies of Redis' protocols RESP2 and RESP3.
    pub fn redis() -> Vec<Self> {
        let mut all = Self::floods();
        for length in LENGTHS {
            for kind in ["$", "*", "%", "~", ">", "="] {
                let head = format!("{kind}{length}\r\n");
                all.push(Self::new(format!("`{kind}` of {length}"), &head, b""));
                all.push(Self::new(format!("`{kind}` of {length}, sent"), &head, b":1\r\n"));
            }
        }
        all.push(Self::new("6,062 nested arrays", "*1\r\n".repeat(6062) + ":1\r\n", b""));
        all.push(Self::new("endless nested arrays", "", b"*1\r\n"));
        all.push(Self::new("an endless line", "+", b"a"));
        all
    }
}

impl fmt::Debug for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hostile").field(&self.name).finish()
    }
}

/// Heads of HTTP/1.1 that never end.
fn http_heads() -> [Hostile; 5] {
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n0");
    [
        Hostile::new("an endless header", format!("{OK}x: "), b"a"),
        Hostile::new("endless headers", OK, b"x: a\r\n"),
        Hostile::new("endless informational responses", "", b"HTTP/1.1 100 Continue\r\n\r\n"),
        Hostile::new("an endless chunk extension", format!("{chunked};"), b"a"),
        Hostile::new("endless trailers", format!("{chunked}\r\n"), b"x: a\r\n"),
    ]
}

/// Complete bodies, with their names and types.
fn bodies() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    const JSON: &str = "application/json";
    const XML: &str = "application/xml";
    let fill = |text: &str| text.repeat(COMPLETE / text.len());
    let halves = |open: &str, close: &str| {
        let depth = COMPLETE / (open.len() + close.len());
        open.repeat(depth) + &close.repeat(depth)
    };
    [
        ("arrays that are not closed", JSON, fill("[")),
        ("nested arrays", JSON, halves("[", "]")),
        ("nested objects", JSON, fill("{\"a\":")),
        ("a wide array", JSON, format!("[{}0]", fill("0,"))),
        ("nested elements", XML, halves("<a>", "</a>")),
        ("nested elements of an error", XML, format!("<Error>{}", halves("<a>", "</a>"))),
        ("elements that are not closed", XML, fill("<a>")),
        ("lines", "text/plain", fill("\n")),
    ]
    .into_iter()
}

fn http_response(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn amqp_frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    [&[kind], &channel.to_be_bytes()[..], &length, payload, b"\xce"].concat()
}

/// `connection.start` with server properties that are nested to this depth.
fn nested_start(depth: usize) -> Vec<u8> {
    let mut table = Vec::new();
    for _ in 0..depth {
        // A field with the name `a` and a table as its value.
        table = [b"\x01aF", &long_string(&table)[..]].concat();
    }
    // The class, the method and the version.
    let properties = long_string(&table);
    let rest = [long_string(b"PLAIN"), long_string(b"en_US")].concat();
    amqp_frame(1, 0, &[b"\0\x0a\0\x0a\0\x09", &properties[..], &rest].concat())
}

/// `bytes` with their length before them.
fn long_string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a table is small").to_be_bytes();
    [&length[..], bytes].concat()
}
