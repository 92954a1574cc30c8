//! `ClickHouse`, the database of the history: shared and private servers.
//!
//! Debian's version is from 2018: users are defined in a file, and it has neither grants nor table TTLs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::http::request;
use crate::install::Dependency;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{HEALTH_PASSWORD, HEALTH_USER, port};

/// The administrator, used by the tests and the history service.
pub const ADMIN_USER: &str = "admin";
/// The password of [`ADMIN_USER`].
pub const ADMIN_PASSWORD: &str = "admin-of-a-throw-away-stack";
/// The database of the history, the only one that [`HEALTH_USER`] may read.
pub const DATABASE: &str = "history";
/// The table of the history, with the strings `id`, `source`, `detail_type` and `detail`, and the time `received`.
pub const TABLE: &str = "events";

pub(crate) const SERVICE: Service = Service {
    name: "clickhouse",
    port: Some(crate::CLICKHOUSE.port()),
    dependencies: &[Dependency::Debian {
        package: "clickhouse-server",
        file: "/usr/sbin/clickhouse-server",
    }],
    prepare: |_, home| prepare(home, crate::CLICKHOUSE.port()),
    seed: |_| seed(crate::CLICKHOUSE.port()),
    stop: Signal::KILL,
};

/// A private `ClickHouse` with the users and the table of the shared server.
pub struct Clickhouse {
    /// The server's process.
    pub server: Server,
    port: u16,
    _folder: TempDir,
}

impl Clickhouse {
    /// Starts a server.
    pub fn start() -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("clickhouse")?;
        let server = Server::start(prepare(&folder.path().join("data"), port)?)?;
        seed(port)?;
        Ok(Self { server, port, _folder: folder })
    }

    /// The HTTP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs one statement as the administrator, and returns its tab-separated output.
    pub fn sql(&self, statement: &str) -> Result<String> {
        sql(self.port, statement)
    }

    /// Replaces the table with an empty one with additional `settings`, such as `, parts_to_throw_insert = 3`.
    pub fn recreate_table(&self, settings: &str) -> Result<()> {
        self.sql(&format!("DROP TABLE {DATABASE}.{TABLE}"))?;
        let statement = table_statement("CREATE TABLE", "MergeTree");
        self.sql(&format!("{statement} SETTINGS index_granularity = 8192{settings}")).map(drop)
    }

    /// Replaces the table with a replica that is read-only because it has no coordinator.
    pub fn make_read_only(&self) -> Result<()> {
        self.sql(&format!("DROP TABLE {DATABASE}.{TABLE}"))?;
        let engine = "ReplicatedMergeTree('/events', 'first')";
        // ATTACH succeeds without a coordinator, but CREATE does not.
        self.sql(&table_statement("ATTACH TABLE", engine)).map(drop)
    }
}

/// Runs one statement as the administrator of the server on this port, and returns its tab-separated output.
pub fn sql(port: u16, statement: &str) -> Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let user = format!("X-ClickHouse-User: {ADMIN_USER}");
    let key = format!("X-ClickHouse-Key: {ADMIN_PASSWORD}");
    let response = request(address, "POST", "/", &[&user, &key], statement)?;
    match response.status {
        200 => Ok(response.body.trim_end().to_owned()),
        _ => Err(Error::new(format!("clickhouse: {statement}: {}", response.body.trim_end()))),
    }
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

fn seed(port: u16) -> Result<()> {
    sql(port, &format!("CREATE DATABASE {DATABASE}"))?;
    sql(port, &table_statement("CREATE TABLE", "MergeTree")).map(drop)
}

fn table_statement(verb: &str, engine: &str) -> String {
    format!(
        "{verb} {DATABASE}.{TABLE} \
         (id String, source String, detail_type String, detail String, received DateTime) \
         ENGINE = {engine} PARTITION BY toDate(received) ORDER BY (received, id)"
    )
}

fn prepare(home: &Path, port: u16) -> Result<Program> {
    crate::paths::recreate(home)?;
    let write = |name: &str, text: String| {
        let path = home.join(name);
        fs::write(&path, text).context(|| format!("write {}", path.display()))?;
        Ok(path)
    };
    let config = write("config.xml", config(port))?;
    write("users.xml", users())?;
    let config = format!("--config-file={}", config.display());
    Ok(Program::new("clickhouse", "/usr/sbin/clickhouse-server", home)
        .args([config])
        .ready(move || sql(port, "SELECT 1").map(drop).map_err(|error| error.to_string())))
}

/// The server's configuration, with HTTP as the only protocol.
fn config(port: u16) -> String {
    format!(
        "<yandex>\
         <logger><level>warning</level><console>1</console></logger>\
         <listen_host>127.0.0.1</listen_host>\
         <http_port>{port}</http_port>\
         <path>./data/</path>\
         <tmp_path>./tmp/</tmp_path>\
         <users_config>users.xml</users_config>\
         <default_profile>default</default_profile>\
         <default_database>default</default_database>\
         <mark_cache_size>67108864</mark_cache_size>\
         </yandex>\n"
    )
}

/// The server's users: the administrator, and [`HEALTH_USER`] with read access to [`DATABASE`].
fn users() -> String {
    let user = |name: &str, password: &str, profile: &str, more: &str| {
        format!(
            "<{name}><password>{password}</password><networks><ip>127.0.0.1</ip></networks>\
             <profile>{profile}</profile><quota>default</quota>{more}</{name}>"
        )
    };
    let only = format!("<allow_databases><database>{DATABASE}</database></allow_databases>");
    format!(
        "<yandex><profiles><default/><reader><readonly>1</readonly></reader></profiles>\
         <quotas><default/></quotas><users>{}{}</users></yandex>\n",
        user(ADMIN_USER, ADMIN_PASSWORD, "default", ""),
        user(HEALTH_USER, HEALTH_PASSWORD, "reader", &only),
    )
}
