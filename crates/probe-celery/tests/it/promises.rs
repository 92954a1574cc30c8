//! The contract's promises, on both transports, with the permissions that the documentation names and no more.

use probe_celery::KIND;
use probe_testkit::{Subject, promises};
use stack::celery::{App, Pool};
use stack::rabbit::shared;
use stack::redis::Redis;
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use crate::stage::QUEUES;

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_promises_on_amqp() {
    promises(Subject {
        kind: KIND,
        section: "tasks",
        config: Box::new(|address| {
            format!(
                "broker = 'amqp://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}/{RABBIT_VHOST}'\n\
                 result_backend = 'rpc://'\n\
                 [queues]\n\
                 high_priority = {{canary = true}}\n\
                 low_priority = {{max_messages = 1000}}\n"
            )
        }),
        upstream: shared().unwrap(),
        secrets: vec![HEALTH_PASSWORD.to_owned()],
        connections: 1,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_promises_on_redis() {
    let redis = Redis::start(&["user default off", ADMIN, HEALTH]).unwrap();
    let url = format!("redis://admin:admin-password@127.0.0.1:{}", redis.port());
    let app = App::new(&format!("{url}/1"), &format!("{url}/2")).unwrap();
    let _worker = app.worker("w1", Pool::Prefork, &QUEUES).unwrap();
    promises(Subject {
        kind: KIND,
        section: "tasks",
        config: Box::new(|address| {
            format!(
                "broker = 'redis://health:health-password@{address}/1'\n\
                 result_backend = 'redis://health:health-password@{address}/2'\n\
                 [queues]\n\
                 high_priority = {{canary = true}}\n\
                 low_priority = {{max_messages = 1000}}\n"
            )
        }),
        upstream: ([127, 0, 0, 1], redis.port()).into(),
        secrets: vec!["health-password".to_owned()],
        connections: 2,
    })
    .await;
}

const ADMIN: &str = "user admin on >admin-password ~* &* +@all";
/// As the documentation says.
const HEALTH: &str = "user health on >health-password \
     ~health-gateway.* ~_kombu.binding.reply.celery.pidbox ~high_priority* ~low_priority* ~celery-task-meta-health-gateway-* \
     &/1.celery.pidbox \
     -@all +select +sadd +srem +smembers +publish +llen +brpop +del +lpush +lrem +get";
