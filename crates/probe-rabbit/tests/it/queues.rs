//! The expectations for named queues.

use probe::{Observation, Steps};
use probe_rabbit::KIND;
use probe_testkit::diagnostics;
use stack::celery::App;
use stack::rabbit::Rabbit;

use crate::{check, outcome};

#[tokio::test(flavor = "multi_thread")]
async fn queues_must_exist_and_be_within_their_bounds() {
    let broker = Rabbit::start(&[]).unwrap();
    let app = App::new(&broker.admin_url(), "rpc://").unwrap();
    app.send("high_priority", 3, 0).unwrap();
    app.send("low_priority", 1, 0).unwrap();
    let rabbit = |lines: &str| format!("url = '{}'\n{lines}", broker.admin_url());
    let port = broker.port();

    outcome(&rabbit("queues = ['high_priority', 'low_priority']")).await.expect_working();
    let lines = "max_messages = 2\nmin_consumers = 1\n[queues]\nhigh_priority = {min_consumers = 0}\nmissing = {}\nlow_priority = {exempt = true}\n";
    assert_eq!(
        outcome(&rabbit(lines)).await.line(),
        format!(
            "queues: high_priority has 3 messages and 0 consumers, expected at most 2 messages; missing does not exist (127.0.0.1:{port})"
        )
    );
    let steps = Steps::new();
    check(&rabbit(lines)).check(&steps).await.unwrap_err();
    let messages = |queue: &str, count| Observation::QueueMessages(queue.into(), count);
    let consumers = |queue: &str, count| Observation::QueueConsumers(queue.into(), count);
    assert_eq!(
        steps.observations(),
        [
            messages("high_priority", 3),
            consumers("high_priority", 0),
            messages("low_priority", 1),
            consumers("low_priority", 0),
        ],
        "a queue that does not exist has none"
    );
    let lines = "min_consumers = 1\n[queues]\nlow_priority = {}\n";
    assert_eq!(
        outcome(&rabbit(lines)).await.line(),
        format!(
            "queues: low_priority has 1 message and 0 consumers, expected at least 1 consumer (those of a stream are seen with `management` only, see `stream`) (127.0.0.1:{port})"
        )
    );
}

#[test]
fn all_errors_are_recorded_at_once() {
    let toml = "url = 'http://rabbit'\nmin_consumers = 'many'\nqueue_prefix = 3\n[queues.a]\nexempt = true\nmax_messages = 1\n[queues.b]\nsize = 3\n";
    assert_eq!(
        diagnostics(&KIND, "rabbit", toml),
        [
            "1: rabbit.url: expected a URL that begins with `amqp://` or `amqps://`",
            "2: rabbit.min_consumers: expected a whole number, found a string",
            "3: rabbit.queue_prefix: expected a string, found an integer",
            "5: rabbit.queues.a.exempt: expected no bound beside it",
            "8: rabbit.queues.b: unknown key `size`",
        ]
    );
    assert_eq!(
        diagnostics(&KIND, "rabbit", "url = 'amqp://rabbit?vhost=a'\nmax_messages = 1\n"),
        [
            "1: rabbit.url: expected the virtual host as the path of the URL instead of `vhost`",
            "2: rabbit.max_messages: expected `queues` beside it",
        ]
    );
    let toml = "url = 'amqp://rabbit'\nmax_unacked = 3\nqueues.a.max_unacked = 1\n";
    assert_eq!(
        diagnostics(&KIND, "rabbit", toml),
        [
            "2: rabbit.max_unacked: expected `management` beside it",
            "3: rabbit.queues.a.max_unacked: expected `management` in the section",
        ]
    );
    let toml = "url = 'amqp://rabbit'\nqueues.a = {stream = true, min_consumers = 1}\n";
    let expected = "2: rabbit.queues.a.min_consumers: expected `management` in the section: AMQP does not report the consumers of a stream";
    assert_eq!(diagnostics(&KIND, "rabbit", toml), [expected]);
    let toml = "url = 'amqp://rabbit'\nmanagement = 'http://rabbit:15672'\nmin_certificate_validity = '7d'\nqueues = ['a']\n";
    let expected =
        "3: rabbit.min_certificate_validity: expected only with a `url` that begins with `amqps`";
    assert_eq!(diagnostics(&KIND, "rabbit", toml), [expected]);
    drop(check(&toml.replace("http:", "https:")));
    let toml = "url = 'amqp://rabbit'\nmanagement = 'http://rabbit:15672/?a=b'\n";
    assert_eq!(
        diagnostics(&KIND, "rabbit", toml),
        [
            "2: rabbit.management: expected `queues` beside it",
            "2: rabbit.management: expected a URL without query and fragment",
        ]
    );
    assert_eq!(
        diagnostics(&KIND, "rabbit", "url = 'amqp://rabbit'\ncertificate = 'x'\n"),
        [
            "2: rabbit.certificate: expected `private_key` beside it",
            "2: rabbit.certificate: expected PEM with at least one certificate; a file is read with `${file:/path}`",
        ]
    );
}
