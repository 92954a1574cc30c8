//! Samples the gateway's resources and the servers' own counts.

use serde_json::{Value, json};
use stack::localstack::{self, APP_BUCKET, HISTORY_BUCKET};
use stack::redis::Redis;
use stack::vault::{self, Vault};

use crate::error::{Context, Result};
use crate::figure::Figure;
use crate::measure::number;
use crate::proc;
use crate::soak::gateway::SoakedGateway;
use crate::soak::judge::Series;
use crate::soak::servers::Servers;

/// The samples so far.
#[derive(Default)]
pub(super) struct Samples(Vec<Series>);

/// One value, with its allowance.
struct Sample(&'static str, &'static str, f64, f64);

impl Samples {
    /// Takes one sample of everything.
    pub(super) fn take(&mut self, gateway: &SoakedGateway, servers: &Servers) -> Result<()> {
        let mut samples = gateway_samples(gateway)?;
        samples.extend(server_samples(servers)?);
        if self.0.is_empty() {
            self.0.extend(samples.iter().map(|Sample(name, unit, allowance, _)| Series {
                name,
                unit,
                allowance: *allowance,
                values: Vec::new(),
            }));
        }
        for (series, Sample(.., value)) in self.0.iter_mut().zip(samples) {
            series.values.push(value);
        }
        Ok(())
    }

    /// Returns a line of the table for each count.
    pub(super) fn figures(&self) -> Vec<Figure> {
        self.0.iter().map(Series::figure).collect()
    }

    /// Returns the last sample as one line.
    pub(super) fn last(&self) -> String {
        let value = |series: &Series| {
            let value = series.values.last().copied().unwrap_or_default();
            format!("{} {value:.1}{}", series.name, series.unit)
        };
        self.0.iter().map(value).collect::<Vec<_>>().join(", ")
    }
}

fn gateway_samples(gateway: &SoakedGateway) -> Result<Vec<Sample>> {
    let pid = gateway.pid();
    let mebibytes =
        number(usize::try_from(proc::resident(pid)? / 1024).unwrap_or(usize::MAX)) / 1024.0;
    let threads = usize::try_from(proc::threads(pid)?).unwrap_or(usize::MAX);
    // A check that a rotation replaced has its first run on a thread of a pool.
    // While rotations go on, the pool keeps as many threads as it ever needed at once, each with memory of its own.
    Ok(vec![
        Sample("open files", "", 8.0, number(proc::open_files(pid)?)),
        Sample("threads", "", 8.0, number(threads)),
        Sample("memory", " MiB", 5.0, mebibytes),
        Sample("tasks", "", 15.0, number(gateway.tasks()?)),
    ])
}

fn server_samples(servers: &Servers) -> Result<Vec<Sample>> {
    let rabbit = servers.rabbit.counts()?;
    Ok(vec![
        Sample("PostgreSQL connections", "", 2.0, postgres_connections(servers)?),
        Sample("Redis connections", "", 2.0, redis_connections(&servers.redis)?),
        Sample("Redis keys", "", 5.0, redis_keys(&servers.redis)?),
        Sample("second Redis connections", "", 4.0, redis_connections(&servers.redis2)?),
        Sample("second Redis keys", "", 20.0, redis_keys(&servers.redis2)?),
        Sample("RabbitMQ connections", "", 2.0, number(rabbit.connections)),
        Sample("RabbitMQ channels", "", 3.0, number(rabbit.channels)),
        Sample("RabbitMQ queues", "", 3.0, number(rabbit.queues)),
        Sample("Vault tokens", "", 5.0, listed(&servers.vault, "auth/token/accessors")?),
        Sample(
            "Vault leases",
            "",
            5.0,
            listed(&servers.vault, "sys/leases/lookup/auth/approle/login")?,
        ),
        Sample("ClickHouse connections", "", 3.0, clickhouse_connections(servers)?),
        Sample("WebSocket server's files", "", 3.0, websocket_files(servers)?),
        Sample("objects in S3", "", 5.0, objects(servers)?),
    ])
}

fn postgres_connections(servers: &Servers) -> Result<f64> {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'health'";
    servers.postgres.sql("postgres", sql)?.parse().context("PostgreSQL's connections")
}

/// The list of clients includes the one that requests it.
fn redis_connections(redis: &Redis) -> Result<f64> {
    Ok(number(redis.command(&["CLIENT", "LIST"])?.lines().count().saturating_sub(1)))
}

/// Returns the number of keys in all databases.
fn redis_keys(redis: &Redis) -> Result<f64> {
    let info = redis.command(&["INFO", "keyspace"])?;
    let keys = info.lines().filter_map(|line| line.split_once("keys=")?.1.split(',').next());
    Ok(number(keys.filter_map(|count| count.parse::<usize>().ok()).sum()))
}

/// Returns the number of entries that Vault lists; for an empty list, it responds with 404.
fn listed(vault: &Vault, path: &str) -> Result<f64> {
    let response = vault::call(vault.port(), "LIST", path, &Value::Null)?;
    let list: Value = match response.status {
        404 => json!({}),
        _ => serde_json::from_str(&response.body).context(path)?,
    };
    Ok(number(list["data"]["keys"].as_array().map_or(0, Vec::len)))
}

fn clickhouse_connections(servers: &Servers) -> Result<f64> {
    let sql = "SELECT value FROM system.metrics WHERE metric = 'HTTPConnection'";
    servers.clickhouse.sql(sql)?.parse().context("ClickHouse's connections")
}

fn websocket_files(servers: &Servers) -> Result<f64> {
    let pid = servers.websocket.server.pid().ok_or("it has exited").context("websocket")?;
    Ok(number(proc::open_files(pid)?))
}

fn objects(servers: &Servers) -> Result<f64> {
    let count = |bucket| Ok(localstack::objects(&servers.localstack.aws, bucket)?.len());
    Ok(number(count(APP_BUCKET)? + count(HISTORY_BUCKET)?))
}
