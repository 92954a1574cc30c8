//! The settings of a section and their errors.

use probe_celery::KIND;
use probe_testkit::{checks, component, diagnostics};

#[test]
fn the_checks_are_named_after_the_queues() {
    let toml = "broker = 'amqp://rabbit'\nqueues = ['b', 'a']\n";
    let names: Vec<_> =
        checks(&component(&KIND, "celery", toml)).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ping", "queues.b", "queues.a"]);
}

#[test]
fn all_errors_of_a_section_are_reported_together() {
    let toml = "broker = 'kafka://host'\nworkers = 0\nresult_backend = 'db+sqlite:///x'\nqueues = ['a', 'a']\n";
    assert_eq!(
        diagnostics(&KIND, "celery", toml),
        [
            "1: celery.broker: expected a URL that begins with `amqp://`, `amqps://`, `redis://`, `rediss://`, `redis-sentinel://`, `rediss-sentinel://` or `unix://`",
            "2: celery.workers: expected at least 1 without a queue that has a canary",
            "3: celery.result_backend: expected `rpc://`, or a URL that begins with `redis://`, `rediss://`, `redis-sentinel://`, `rediss-sentinel://` or `unix://`; only the canary of a queue needs it",
            "4: celery.queues: expected each name once",
        ]
    );
}

#[test]
fn signed_messages_are_refused_beside_other_errors() {
    let toml = "broker = 'amqp://h?ssl=true'\naccept_content = ['auth']\n";
    assert_eq!(
        diagnostics(&KIND, "celery", toml),
        [
            "1: celery.broker: expected a URL that begins with `amqps://` with this `ssl`",
            "2: celery.accept_content: expected `json`, `msgpack`, `yaml` or `pickle` among them: the gateway knows no others, and cannot sign messages",
        ]
    );
}

#[test]
fn a_canary_requires_a_result_backend() {
    assert_eq!(
        diagnostics(&KIND, "celery", "broker = 'amqp://rabbit'\ncanary = true\nqueues = ['a']\n"),
        ["2: celery.canary: expected `result_backend` beside it, as the application has it"]
    );
    assert_eq!(
        diagnostics(&KIND, "celery", "broker = 'redis://h'\nresult_backend = 'rpc://'\n"),
        ["2: celery.result_backend: expected `rpc://` only with a broker on AMQP"]
    );
    assert_eq!(
        diagnostics(&KIND, "celery", "broker = 'redis://h'\nmax_messages = 1\n"),
        ["2: celery.max_messages: expected `queues` beside it"]
    );
}

#[test]
fn an_option_that_cannot_be_honoured_is_named() {
    let section = |options: &str| format!("broker = 'redis://h'\n[transport_options]\n{options}\n");
    let check = |options, expected: &str| {
        assert_eq!(diagnostics(&KIND, "celery", &section(options)), [expected]);
    };
    check(
        "priority_steps = [3, 0]",
        "3: celery.transport_options.priority_steps: expected ascending numbers that begin with 0",
    );
    check("sep = ''", "3: celery.transport_options.sep: expected at least one character");
    check(
        "fanout_prefix = 1",
        "3: celery.transport_options.fanout_prefix: expected `true`, `false` or a string, found an integer",
    );
    check(
        "sentinel_kwargs = {ssl = true}",
        "3: celery.transport_options.sentinel_kwargs: expected no keys but `username`, `password`, and those of pools and deadlines such as `socket_timeout`",
    );
    assert_eq!(
        diagnostics(&KIND, "celery", &section("master_name = 'main'")),
        ["1: celery.broker: expected `redis-sentinel://` with parameters of Sentinel"]
    );
    for scheme in ["redis-cluster", "rediss-cluster"] {
        let section = format!("broker = '{scheme}://h'\nresult_backend = '{scheme}://h'\n");
        assert_eq!(
            diagnostics(&KIND, "celery", &section),
            [
                "1: celery.broker: expected no cluster: kombu has no transport for it",
                "2: celery.result_backend: expected no cluster: Celery has no result backend for it"
            ]
        );
    }
    let unknown = diagnostics(&KIND, "celery", &section("global_key_prefix = 'x'"));
    let expected = "3: celery.transport_options: unknown key `global_key_prefix`";
    assert_eq!(unknown, [expected]);
    assert_eq!(
        diagnostics(&KIND, "celery", "broker = 'amqp://h'\n[transport_options]\nsep = ':'\n"),
        ["2: celery.transport_options: expected only with a broker on Redis"]
    );
}
