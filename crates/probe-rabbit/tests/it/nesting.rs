//! Messages with deeply nested headers that a real broker delivers to the reply queue.

use probe_testkit::run;
use stack::rabbit::Rabbit;
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{DEADLINE, check};

/// The frame types.
const METHOD: u8 = 1;
const HEADER: u8 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_message_in_the_reply_queue_is_dropped() {
    let broker = Rabbit::start(&[]).unwrap();
    let rabbit = check(&format!("url = '{}'", broker.url(HEALTH_USER, HEALTH_PASSWORD)));
    run(&rabbit, DEADLINE).await.expect_working();
    let reply_queue = reply_queue(&broker);
    let mut publisher = Publisher::open(&broker).await;
    for kind in [b'F', b'A'] {
        publisher.publish(&reply_queue, &nested(1_900, kind)).await;
    }
    publisher.close_channel().await;
    run(&rabbit, DEADLINE).await.expect_working();
    assert_eq!(self::reply_queue(&broker), reply_queue, "the connection was kept");
}

/// The name of the gateway's only queue.
fn reply_queue(broker: &Rabbit) -> String {
    let queues = broker.ctl(&["list_queues", "-p", RABBIT_VHOST, "--silent", "name"]).unwrap();
    let names: Vec<_> = queues.lines().filter(|name| name.contains("health-gateway.")).collect();
    assert_eq!(names.len(), 1, "{queues}");
    names[0].trim().to_owned()
}

/// `depth` nested tables or arrays, of which the outermost is a table.
fn nested(depth: usize, kind: u8) -> Vec<u8> {
    let mut table: Vec<u8> = Vec::new();
    for level in 1..depth {
        let name: &[u8] = if kind == b'F' || level == depth - 1 { b"\x01n" } else { b"" };
        table = [name, &[kind], &long(&table)].concat();
    }
    long(&table)
}

/// Another client of the broker, which sends frames that no client library encodes.
struct Publisher(TcpStream);

impl Publisher {
    async fn open(broker: &Rabbit) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", broker.port())).await.unwrap();
        stream.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        let mut publisher = Self(stream);
        publisher.expect(10, 10).await;
        let response = format!("\0{HEALTH_USER}\0{HEALTH_PASSWORD}");
        let start_ok =
            [&long(b"")[..], &short("PLAIN"), &long(response.as_bytes()), &short("en_US")];
        publisher.method(0, 10, 11, &start_ok.concat()).await;
        publisher.expect(10, 30).await;
        publisher.method(0, 10, 31, b"\0\x08\0\x02\0\0\0\0").await;
        let open = [&short(RABBIT_VHOST)[..], &short(""), b"\0"].concat();
        publisher.method(0, 10, 40, &open).await;
        publisher.expect(10, 41).await;
        publisher.method(1, 20, 10, &short("")).await;
        publisher.expect(20, 11).await;
        publisher
    }

    /// Publishes an empty message with this table as `headers`.
    async fn publish(&mut self, queue: &str, headers: &[u8]) {
        let publish = [b"\0\0", &short("")[..], &short(queue), b"\0"].concat();
        self.method(1, 60, 40, &publish).await;
        let header = [b"\0\x3c\0\0", &[0; 8][..], b"\x20\0", headers].concat();
        self.frame(HEADER, 1, &header).await;
    }

    /// Closes the channel, and so waits until the broker has processed everything sent on it.
    async fn close_channel(&mut self) {
        let close = [b"\0\0", &short("")[..], &[0; 4]].concat();
        self.method(1, 20, 40, &close).await;
        self.expect(20, 41).await;
    }

    async fn method(&mut self, channel: u8, class: u8, method: u8, arguments: &[u8]) {
        self.frame(METHOD, channel, &[&[0, class, 0, method], arguments].concat()).await;
    }

    async fn frame(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let frame = [&[kind, 0, channel][..], &long(payload), &[0xce]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    async fn expect(&mut self, class: u8, method: u8) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.unwrap();
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; usize::try_from(size).unwrap() + 1];
        self.0.read_exact(&mut payload).await.unwrap();
        assert_eq!(payload[..4], [0, class, 0, method], "{payload:?}");
    }
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
