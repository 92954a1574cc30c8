//! The real backends for the demo and the tests, native or in containers.
//!
//! The shared stack ([`up`], [`down`]) has fixed addresses. It serves the demo and the tests that leave its servers healthy.
//! It runs natively or in the containers of `docker-compose.yml`; there is no difference for clients.
//! A test that breaks its server starts a private one, which is always native, such as [`postgres::Postgres`], [`redis::Redis`] or [`vault::Vault`].
//!
//! The credentials are constants, because they protect only throw-away data on 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddrV4};

pub mod aws;
pub mod celery;
pub mod chromium;
pub mod clickhouse;
mod compose;
mod debian;
mod demo;
pub mod edge;
mod error;
pub mod faketime;
pub mod history;
pub mod http;
mod install;
pub mod localstack;
pub mod monitoring;
pub mod moto;
mod paths;
mod permissions;
pub mod pgbouncer;
pub mod pgpool;
mod pinned;
mod port;
pub mod postgres;
mod process;
mod program;
mod python;
pub mod rabbit;
pub mod redis;
mod seed;
mod server;
mod service;
mod tls;
mod updown;
pub mod vault;
pub mod websocket;

pub use demo::{demo_config, demo_toml};
pub use error::{Error, Result};
pub use install::{Dependency, install};
pub use paths::{state, workspace};
pub use pinned::PinnedVenv;
pub use port::free_port;
pub use program::Program;
pub use program::bound::end_servers;
pub use seed::{ROLE, access_token, seed_vault};
pub use server::Server;
pub use tls::Tls;
pub use updown::{Backends, Mode, down, names, up};

/// PostgreSQL.
pub const POSTGRES: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 25432);
/// The Redis of `redis`.
pub const REDIS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 26379);
/// The Redis of `redis2` and the four caches.
pub const REDIS2: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 26380);
/// `RabbitMQ`.
pub const RABBIT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 25672);
/// OpenBao, which speaks Vault's API.
pub const VAULT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 28200);
/// `ClickHouse`'s HTTP port.
pub const CLICKHOUSE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 28123);
/// localstack, which serves S3 and `EventBridge`.
pub const LOCALSTACK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 24566);
/// moto, which serves `CloudFront`.
pub const MOTO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 25000);
/// The history service, which inserts the events of the bus into `ClickHouse`.
pub const HISTORY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 28081);
/// An edge of `CloudFront`.
pub const EDGE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 28082);
/// The WebSocket server.
pub const WEBSOCKET: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 28765);

/// The gateway's user on every backend.
pub const HEALTH_USER: &str = "health";
/// The password of [`HEALTH_USER`].
pub const HEALTH_PASSWORD: &str = "health-of-a-throw-away-stack";
/// The database of the demo's application.
pub const POSTGRES_DATABASE: &str = "app";
/// The broker's virtual host of the demo's application.
pub const RABBIT_VHOST: &str = "app";
/// The queues of the demo's Celery workers.
pub const CELERY_QUEUES: [&str; 3] = ["high_priority", "medium_priority", "low_priority"];
/// The demo's namespace.
pub const NAMESPACE: &str = "demo";
