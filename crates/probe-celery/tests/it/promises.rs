//! The promises of the contract, on both transports, with only the documented permissions.

use probe_celery::KIND;
use probe_testkit::{Subject, promises};
use stack::celery::{App, Pool};
use stack::rabbit::shared;
use stack::redis::Redis;
use stack::{HEALTH_PASSWORD, HEALTH_USER, RABBIT_VHOST};

use crate::fixture::QUEUES;

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_keeps_its_promises_on_amqp() {
    let config = |address| {
        format!(
            "broker = 'amqp://{HEALTH_USER}:{HEALTH_PASSWORD}@{address}/{RABBIT_VHOST}'\n\
             result_backend = 'rpc://'\n\
             {QUEUE_SETTINGS}"
        )
    };
    let subject = Subject::new(KIND, "tasks", shared().unwrap(), config);
    promises(subject.with_secret(HEALTH_PASSWORD)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_keeps_its_promises_on_redis() {
    let redis = Redis::start(&["user default off", ADMIN, HEALTH]).unwrap();
    let url = format!("redis://admin:admin-password@127.0.0.1:{}", redis.port());
    let app = App::new(&format!("{url}/1"), &format!("{url}/2")).unwrap();
    let _worker = app.worker("w1", Pool::Prefork, &QUEUES).unwrap();
    let config = |address| {
        format!(
            "broker = 'redis://health:health-password@{address}/1'\n\
             result_backend = 'redis://health:health-password@{address}/2'\n\
             {QUEUE_SETTINGS}"
        )
    };
    let subject = Subject::new(KIND, "tasks", ([127, 0, 0, 1], redis.port()).into(), config);
    promises(subject.with_secret("health-password")).await;
}

const QUEUE_SETTINGS: &str = "[queues]\n\
    high_priority = {canary = true}\n\
    low_priority = {max_messages = 1000}\n";

const ADMIN: &str = "user admin on >admin-password ~* &* +@all";
/// The rules of the documentation.
const HEALTH: &str = "user health on >health-password \
     ~health-gateway.* ~_kombu.binding.celery.pidbox ~_kombu.binding.reply.celery.pidbox ~high_priority* ~low_priority* ~celery-task-meta-health-gateway-* \
     &/1.celery.pidbox \
     -@all +select +srandmember +rpush +pexpire +sadd +publish +lrange +srem +del +sscan +pttl +llen +lpush +lrem +get";
