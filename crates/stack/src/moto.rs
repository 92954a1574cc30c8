//! moto, which is `CloudFront`, and S3 and `EventBridge` for who needs a server that checks credentials: in the shared stack, and as a test's private server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::aws::{Aws, PINNED};
use crate::error::{Context, Error, Result};
use crate::http::request;
use crate::install::Need;
use crate::localstack::{self, Bus};
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{place, port};

mod distribution;

pub use distribution::{ALTERNATE_DOMAIN, Distribution};

const SCRIPT: &str = include_str!("moto.py");
/// So many calls are not checked: more than any seeding needs.
const UNCHECKED: &str = "1000000";

pub(crate) const SERVICE: Service = Service {
    name: "moto",
    port: Some(crate::MOTO.port()),
    needs: &[Need::Pinned(&PINNED)],
    prepare: |_, home| prepare(home, crate::MOTO.port(), 0),
    seed: |_| {
        let distribution = Distribution::make(&Aws::at(crate::MOTO.into()))?;
        let file = distribution_file();
        let text = json!({"id": distribution.id, "domain": distribution.domain}).to_string();
        fs::write(&file, text).context(|| format!("write {}", file.display()))
    },
    stop: Signal::KILL,
};

/// A private moto.
pub struct Moto {
    /// The process, to be paused, stopped and restarted (which empties it).
    pub server: Server,
    /// Its API, for somebody who may do everything.
    pub aws: Aws,
    port: u16,
    _folder: TempDir,
}

/// Keys for a server that checks them.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The access key's id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl Moto {
    /// Starts an empty one that takes any credentials.
    pub fn start() -> Result<Self> {
        Self::private(0)
    }

    /// Starts an empty one whose clock is an hour ahead, so that no signature is good.
    pub fn start_ahead() -> Result<Self> {
        Self::private(3600)
    }

    /// Starts one with buckets, bus and a distribution, which from then on checks signatures and permissions; gives the keys of a user who may do `actions` and nothing else.
    pub fn start_checking(actions: &[&str]) -> Result<(Self, Keys)> {
        let mut moto = Self::private(0)?;
        localstack::make_buckets(&moto.aws)?;
        Bus::make(&moto.aws, &crate::HISTORY.to_string())?;
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

    /// Makes a distribution, enabled and deployed.
    pub fn distribution(&self) -> Result<Distribution> {
        Distribution::make(&self.aws)
    }

    /// Makes a distribution whose deployment never comes to its end.
    pub fn distribution_in_progress(&self) -> Result<Distribution> {
        let never = json!({
            "model_name": "cloudfront::distribution",
            "transition": {"progression": "manual", "times": 1_000_000},
        });
        let json = "Content-Type: application/json";
        let path = "/moto-api/state-manager/set-transition";
        request(self.address(), "POST", path, &[json], &never.to_string())?;
        self.distribution()
    }

    /// Disables a distribution.
    pub fn disable(&self, distribution: &Distribution) -> Result<()> {
        distribution.disable(&self.aws)
    }

    fn private(ahead: u32) -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("moto")?;
        let server = Server::start(prepare(&folder.path().join("data"), port, ahead)?)?;
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
        let answer = iam("create_access_key", json!({"UserName": name}))?;
        let text = |name| answer["AccessKey"][name].as_str().unwrap_or_default().to_owned();
        Ok(Keys { id: text("AccessKeyId"), secret: text("SecretAccessKey") })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }
}

/// The shared server's address, once `cargo xtask up` has started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

/// The distribution on the shared server, once `cargo xtask up` has made it.
pub fn shared_distribution() -> Result<Distribution> {
    let file = distribution_file();
    let text = fs::read_to_string(&file).context(|| format!("read {}", file.display()))?;
    let made: Value = serde_json::from_str(&text).context(|| format!("read {}", file.display()))?;
    match (made["id"].as_str(), made["domain"].as_str()) {
        (Some(id), Some(domain)) => {
            Ok(Distribution { id: id.to_owned(), domain: domain.to_owned() })
        }
        _ => Err(Error::new(format!("{} names no distribution", file.display()))),
    }
}

fn distribution_file() -> PathBuf {
    place::state().join("distribution.json")
}

fn prepare(home: &Path, port: u16, ahead: u32) -> Result<Program> {
    place::fresh(home)?;
    let script = home.join("server.py");
    fs::write(&script, SCRIPT).context(|| format!("write {}", script.display()))?;
    Ok(Program::new("moto", PINNED.program("python"), home)
        .args([script])
        .args(["127.0.0.1", &port.to_string(), &ahead.to_string()])
        .env("INITIAL_NO_AUTH_ACTION_COUNT", UNCHECKED)
        .ready_on(port))
}
