//! The state of queues, as the management plugin reports it.

use std::time::{Duration, Instant};

use probe::{Observation, Steps};
use probe_testkit::run;
use stack::celery::App;
use stack::rabbit::{Management, Rabbit};
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use crate::{DEADLINE, check, outcome};

/// Longer than the statistics of a queue take to be updated.
const STATISTICS_TIMEOUT: Duration = Duration::from_secs(20);

struct Broker {
    rabbit: Rabbit,
    management: Management,
}

impl Broker {
    fn start() -> Self {
        let (rabbit, management) = Rabbit::start_with_management().unwrap();
        Self { rabbit, management }
    }

    fn declare(&self, queue: &str, arguments: &str) {
        let body = format!("{{\"durable\": true, \"arguments\": {{{arguments}}}}}");
        let path = format!("/queues/{RABBIT_VHOST}/{queue}");
        self.management.call("PUT", &path, &body).unwrap();
    }

    fn publish(&self, queue: &str) {
        let body = format!(
            r#"{{"properties": {{}}, "routing_key": "{queue}", "payload": "x", "payload_encoding": "string"}}"#
        );
        let path = format!("/exchanges/{RABBIT_VHOST}/amq.default/publish");
        self.management.call("POST", &path, &body).unwrap();
    }

    /// Starts a consumer that acknowledges nothing.
    fn consume(&self, queue: &str) {
        let consume = format!(
            r#"Consumer = spawn(fun() -> timer:sleep(infinity) end),
            {{ok, Connection}} = amqp_connection:start({{amqp_params_direct, none, none, <<"{RABBIT_VHOST}">>, node(), none, []}}),
            {{ok, Channel}} = amqp_connection:open_channel(Connection),
            {{'basic.qos_ok'}} = amqp_channel:call(Channel, {{'basic.qos', 0, 10, false}}),
            amqp_channel:subscribe(Channel, {{'basic.consume', 0, <<"{queue}">>, <<>>, false, false, false, false, []}}, Consumer),
            ok."#
        );
        self.rabbit.ctl(&["eval", &consume]).unwrap();
    }

    /// The settings of a check with the user of the broker.
    fn settings(&self, more: &str) -> String {
        let (url, management) = (self.rabbit.admin_url(), self.management.address);
        format!("url = '{url}'\nmanagement = 'http://{management}'\n{more}")
    }

    /// The line of a check once the statistics of its queues are known.
    async fn line(&self, more: &str) -> String {
        let check = check(&self.settings(more));
        let started = Instant::now();
        loop {
            let outcome = run(&check, DEADLINE).await;
            if !outcome.is_working() {
                let target = format!(" (127.0.0.1:{})", self.rabbit.port());
                return outcome.line().replace(&target, "");
            }
            assert!(started.elapsed() < STATISTICS_TIMEOUT, "{more}: the check is working");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_queues_is_reported() {
    let broker = Broker::start();
    let limit = r#""x-max-length": 2, "x-overflow": "reject-publish""#;
    broker.declare("orders", limit);
    broker.declare("log", r#""x-max-length": 1"#);
    broker.declare("quorum", r#""x-queue-type": "quorum""#);
    broker.declare("stream", r#""x-queue-type": "stream""#);
    let working = "queues = ['orders', 'log', 'quorum', 'stream']";
    outcome(&broker.settings(working)).await.expect_working();

    // A queue at its limit rejects messages, unless it drops the oldest.
    broker.publish("log");
    broker.publish("orders");
    outcome(&broker.settings(working)).await.expect_working();
    broker.publish("orders");
    let rejects = "queues: orders rejects messages: 2 waiting, its limit is 2";
    assert_eq!(broker.line(working).await, rejects);

    // A consumer that acknowledges nothing empties the queue.
    broker.consume("orders");
    let unacked = "max_unacked = 1\nmin_consumers = 1\n[queues]\norders = {}";
    let expected = "queues: orders has 2 unacknowledged messages, expected at most 1";
    assert_eq!(broker.line(unacked).await, expected);
    let allowed = unacked.replace("max_unacked = 1", "max_unacked = 2");
    outcome(&broker.settings(&allowed)).await.expect_working();

    // AMQP reports no consumer of a stream.
    let stream = "min_consumers = 1\n[queues]\nstream = {}";
    let expected = "queues: stream has 0 messages and 0 consumers, expected at least 1 consumer";
    assert_eq!(broker.line(stream).await, expected);
    // Without the plugin, a stream that is known as one is subject to no number of consumers, and none is observed.
    let without = format!(
        "url = '{}'\nmin_consumers = 1\n[queues]\nstream = {{stream = true}}",
        broker.rabbit.admin_url()
    );
    let steps = Steps::new();
    check(&without).check(&steps).await.unwrap();
    assert_eq!(steps.observations(), [Observation::QueueMessages("stream".into(), 0)]);
    broker.consume("stream");
    let check = check(&broker.settings(stream));
    let started = Instant::now();
    while !run(&check, DEADLINE).await.is_working() {
        assert!(started.elapsed() < STATISTICS_TIMEOUT, "the consumer is not seen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // Two of three members of the queue do not exist any more.
    let lose_members = format!(
        r#"rabbit_misc:execute_mnesia_transaction(fun() ->
            rabbit_amqqueue:update(rabbit_misc:r(<<"{RABBIT_VHOST}">>, queue, <<"quorum">>), fun(Queue) ->
                State = amqqueue:get_type_state(Queue),
                Lost = [list_to_atom("lost1@localhost"), list_to_atom("lost2@localhost")],
                amqqueue:set_type_state(Queue, State#{{nodes => Lost ++ maps:get(nodes, State)}})
            end)
        end), ok."#
    );
    broker.rabbit.ctl(&["eval", &lose_members]).unwrap();
    let expected = "queues: quorum has no quorum: 1 of 3 members are online";
    assert_eq!(broker.line("queues = ['quorum']").await, expected);

    let missing = "queues: missing does not exist";
    assert_eq!(broker.line("queues = ['log', 'missing']").await, missing);

    refusals(&broker).await;
}

/// The user of the API needs a tag and access to the virtual host.
async fn refusals(broker: &Broker) {
    let (port, at) = (broker.rabbit.port(), broker.management.address);
    let settings = |user: &str| {
        let url = broker.rabbit.admin_url();
        format!("url = '{url}'\nmanagement = 'http://{user}@{at}'\nqueues = ['log']")
    };
    let (password, wrong) = (HEALTH_PASSWORD, "not-the-one");
    for (user, expected) in [
        (format!("{HEALTH_USER}:{wrong}"), "401 Unauthorized: Login failed"),
        (format!("{HEALTH_USER}:{password}"), "401 Unauthorized: Not management user"),
    ] {
        assert_eq!(
            outcome(&settings(&user)).await.line(),
            format!("authenticate: management at {at}: status {expected} (127.0.0.1:{port})")
        );
    }
    broker.rabbit.ctl(&["set_user_tags", HEALTH_USER, "monitoring"]).unwrap();
    let user = format!("{HEALTH_USER}:{password}");
    outcome(&settings(&user)).await.expect_working();
    let patterns = ["^$"; 3];
    let permissions = [["set_permissions", "-p", RABBIT_VHOST, HEALTH_USER].as_slice(), &patterns];
    broker.rabbit.ctl(&permissions.concat()).unwrap();
    outcome(&settings(&user)).await.expect_working();
    broker.rabbit.ctl(&["clear_permissions", "-p", RABBIT_VHOST, HEALTH_USER]).unwrap();
    let outcome = outcome(&settings(&user)).await;
    assert!(outcome.line().starts_with("authenticate: management at "), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_the_plugin_is_reported() {
    let (address, url) =
        (stack::rabbit::shared().unwrap(), "amqp://admin:admin-of-a-throw-away-stack");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = format!(
        "url = '{url}@{address}/{RABBIT_VHOST}'\nmanagement = 'http://{free}'\nqueues = ['high_priority']"
    );
    let expected = format!("connect: management at {free}: connection refused ({address})");
    assert_eq!(outcome(&settings).await.line(), expected);
}

mod slow {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_queue_that_lost_two_of_three_nodes_has_no_quorum() {
        let ([rabbit, mut second, mut third], management) = Rabbit::start_cluster().unwrap();
        let broker = Broker { rabbit, management };
        broker.declare("orders", r#""x-queue-type": "quorum""#);
        let check = check(&broker.settings("queues = ['orders']"));
        run(&check, DEADLINE).await.expect_working();
        // A classic queue is on one node.
        App::new(&second.admin_url(), "rpc://").unwrap().send("high_priority", 1, 0).unwrap();
        second.server.stop();
        run(&check, DEADLINE).await.expect_working();
        let url = broker.rabbit.admin_url();
        let without =
            outcome(&format!("url = '{url}'\nqueues = ['orders', 'high_priority']")).await;
        assert!(
            without.line().starts_with(
                "queues: high_priority: NOT_FOUND - home node 'rabbit@127.0.0.3' of durable queue 'high_priority' in vhost 'app' is down or inaccessible"
            ),
            "{without:?}"
        );
        third.server.stop();
        let expected = "queues: orders has no quorum: 1 of 3 members are online";
        assert_eq!(broker.line("queues = ['orders']").await, expected);
        second.server.restart().unwrap();
        let started = Instant::now();
        while !run(&check, DEADLINE).await.is_working() {
            assert!(started.elapsed() < STATISTICS_TIMEOUT, "the queue has no quorum");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
