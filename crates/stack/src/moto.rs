//! moto, which serves `CloudFront`: shared and private servers.
//!
//! It also serves S3 and `EventBridge`, and can check credentials.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::aws::{Aws, VENV};
use crate::error::{Context, Error, Result};
use crate::http::request;
use crate::install::Dependency;
use crate::localstack::{self, Bus};
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{paths, port};

mod distribution;

pub use distribution::{ALTERNATE_DOMAIN, Distribution};

const SCRIPT: &str = include_str!("moto.py");
/// The number of calls before moto checks credentials, which is more than seeding needs.
const UNCHECKED_CALLS: &str = "1000000";

pub(crate) const SERVICE: Service = Service {
    name: "moto",
    port: Some(crate::MOTO.port()),
    dependencies: &[Dependency::Pinned(&VENV)],
    prepare: |_, home| prepare(home, crate::MOTO.port(), 0),
    seed: |_| {
        let distribution = Distribution::create(&Aws::at(crate::MOTO.into()))?;
        let file = distribution_file();
        let text = json!({"id": distribution.id, "domain": distribution.domain}).to_string();
        fs::write(&file, text).context(|| format!("write {}", file.display()))
    },
    stop: Signal::KILL,
};

/// A private moto.
pub struct Moto {
    /// The server's process; a restart empties the server.
    pub server: Server,
    /// A client of its API with all permissions.
    pub aws: Aws,
    port: u16,
    _folder: TempDir,
}

/// An access key for a server that checks credentials.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The access key's ID.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl Moto {
    /// Starts an empty server that accepts any credentials.
    pub fn start() -> Result<Self> {
        Self::private(0)
    }

    /// Starts an empty server with a clock that is an hour ahead, so that it rejects all signatures.
    pub fn start_with_clock_ahead() -> Result<Self> {
        Self::private(3600)
    }

    /// Starts a server that verifies signatures and enforces permissions, with buckets, a bus and a distribution.
    ///
    /// Also returns the access key of a user that may only do `actions`.
    pub fn start_enforcing_permissions(actions: &[&str]) -> Result<(Self, Keys)> {
        let mut moto = Self::private(0)?;
        localstack::create_buckets(&moto.aws)?;
        Bus::create(&moto.aws, &crate::HISTORY.to_string())?;
        moto.distribution()?;
        let admin = moto.user("admin", &["*"])?;
        let user = moto.user(crate::HEALTH_USER, actions)?;
        let header = "Content-Type: text/plain";
        request(moto.address(), "POST", "/moto-api/reset-auth", &[header], "0")?;
        moto.aws = Aws::with_keys(moto.address(), &admin.id, &admin.secret);
        Ok((moto, user))
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates a distribution, which is enabled and deployed.
    pub fn distribution(&self) -> Result<Distribution> {
        Distribution::create(&self.aws)
    }

    /// Creates a distribution that stays in progress.
    pub fn distribution_in_progress(&self) -> Result<Distribution> {
        let transition = json!({
            "model_name": "cloudfront::distribution",
            "transition": {"progression": "manual", "times": 1_000_000},
        });
        let json = "Content-Type: application/json";
        let path = "/moto-api/state-manager/set-transition";
        request(self.address(), "POST", path, &[json], &transition.to_string())?;
        self.distribution()
    }

    /// Disables a distribution.
    pub fn disable(&self, distribution: &Distribution) -> Result<()> {
        distribution.disable(&self.aws)
    }

    fn private(clock_ahead: u32) -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("moto")?;
        let server = Server::start(prepare(&folder.path().join("data"), port, clock_ahead)?)?;
        let aws = Aws::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(Self { server, aws, port, _folder: folder })
    }

    fn user(&self, name: &str, actions: &[&str]) -> Result<Keys> {
        let iam = |operation, parameters: Value| self.aws.call("iam", operation, &parameters);
        let allowed = json!({"Effect": "Allow", "Action": actions, "Resource": "*"});
        let policy = json!({"Version": "2012-10-17", "Statement": [allowed]}).to_string();
        iam("create_user", json!({"UserName": name}))?;
        iam(
            "put_user_policy",
            json!({"UserName": name, "PolicyName": name, "PolicyDocument": policy}),
        )?;
        let response = iam("create_access_key", json!({"UserName": name}))?;
        let text = |name| response["AccessKey"][name].as_str().unwrap_or_default().to_owned();
        Ok(Keys { id: text("AccessKeyId"), secret: text("SecretAccessKey") })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

/// Returns the distribution on the shared server, or an error if `cargo xtask up` has not created it.
pub fn shared_distribution() -> Result<Distribution> {
    let file = distribution_file();
    let text = fs::read_to_string(&file).context(|| format!("read {}", file.display()))?;
    let seeded: Value =
        serde_json::from_str(&text).context(|| format!("read {}", file.display()))?;
    match (seeded["id"].as_str(), seeded["domain"].as_str()) {
        (Some(id), Some(domain)) => {
            Ok(Distribution { id: id.to_owned(), domain: domain.to_owned() })
        }
        _ => Err(Error::new(format!("{} names no distribution", file.display()))),
    }
}

fn distribution_file() -> PathBuf {
    paths::state().join("distribution.json")
}

fn prepare(home: &Path, port: u16, clock_ahead: u32) -> Result<Program> {
    paths::recreate(home)?;
    let script = home.join("server.py");
    fs::write(&script, SCRIPT).context(|| format!("write {}", script.display()))?;
    Ok(Program::new("moto", VENV.program("python"), home)
        .args([script])
        .args(["127.0.0.1", &port.to_string(), &clock_ahead.to_string()])
        .env("INITIAL_NO_AUTH_ACTION_COUNT", UNCHECKED_CALLS)
        .ready_on(port))
}
