//! localstack, which serves S3 and `EventBridge`: shared and private servers.
//!
//! It accepts any credentials; a server that checks them is [`crate::moto::Moto`].

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::aws::{Aws, REGION, VENV};
use crate::error::{Context, Error, Result};
use crate::http::request;
use crate::install::Dependency;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{paths, port};

mod bus;

pub use bus::{BUS, Bus, CONNECTION, DESTINATION, RULE, SOURCES};

/// The bucket of the application.
pub const APP_BUCKET: &str = "app-files";
/// The bucket of the history.
pub const HISTORY_BUCKET: &str = "history-files";

/// The folder of its generated files, relative to its root.
const LIBRARIES: &str = "usr/lib/localstack";

pub(crate) const SERVICE: Service = Service {
    name: "localstack",
    port: Some(crate::LOCALSTACK.port()),
    dependencies: &[Dependency::Pinned(&VENV)],
    prepare: |_, home| prepare(home, crate::LOCALSTACK.port()),
    seed: |service| {
        let aws = Aws::at(crate::LOCALSTACK.into());
        create_buckets(&aws)?;
        Bus::create(&aws, &service.address_for(crate::HISTORY)).map(drop)
    },
    stop: Signal::KILL,
};

/// A private localstack with the two buckets.
pub struct Localstack {
    /// The server's process; a restart empties the server.
    pub server: Server,
    /// A client of its API.
    pub aws: Aws,
    port: u16,
    _folder: TempDir,
}

impl Localstack {
    /// Starts a server.
    pub fn start() -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("localstack")?;
        let server = Server::start(prepare(&folder.path().join("data"), port)?)?;
        let aws = Aws::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        create_buckets(&aws)?;
        Ok(Self { server, aws, port, _folder: folder })
    }

    /// The port on 127.0.0.1, of both S3 and `EventBridge`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates the bus, which delivers events to the history service on this port of 127.0.0.1.
    pub fn bus(&self, history: u16) -> Result<Bus<'_>> {
        Bus::create(&self.aws, &format!("127.0.0.1:{history}"))
    }

    /// Returns the names of all objects in a bucket.
    pub fn objects(&self, bucket: &str) -> Result<Vec<String>> {
        objects(&self.aws, bucket)
    }
}

/// Returns the names of all objects in a bucket.
pub fn objects(aws: &Aws, bucket: &str) -> Result<Vec<String>> {
    let list = aws.call("s3", "list_objects_v2", &json!({"Bucket": bucket}))?;
    let objects = list["Contents"].as_array().into_iter().flatten();
    Ok(objects.filter_map(|object| object["Key"].as_str().map(str::to_owned)).collect())
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

/// Creates the two buckets.
pub(crate) fn create_buckets(aws: &Aws) -> Result<()> {
    let location = json!({"LocationConstraint": REGION});
    [APP_BUCKET, HISTORY_BUCKET].into_iter().try_for_each(|bucket| {
        let bucket = json!({"Bucket": bucket, "CreateBucketConfiguration": location});
        aws.call("s3", "create_bucket", &bucket).map(drop)
    })
}

fn prepare(home: &Path, port: u16) -> Result<Program> {
    paths::recreate(home)?;
    let index = index()?;
    let libraries = paths::create(home.join(LIBRARIES))?;
    fs::copy(&index, libraries.join(index.file_name().unwrap_or_default()))
        .context(|| format!("copy {}", index.display()))?;
    let address = format!("127.0.0.1:{port}");
    Ok(program(home, "localstack.runtime.main")
        .env("GATEWAY_LISTEN", &address)
        // Its default server may listen on all interfaces.
        .env("GATEWAY_SERVER", "hypercorn")
        .env("LOCALSTACK_HOST", &address)
        .env("SERVICES", "s3,events,sts,secretsmanager")
        // By default it sends usage events to its vendor and serves DNS.
        .env("DISABLE_EVENTS", "1")
        .env("SKIP_SSL_CERT_DOWNLOAD", "1")
        .env("DNS_ADDRESS", "0")
        .ready(move || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match request(address, "GET", "/_localstack/health", &[], "") {
                Ok(response) if response.status == 200 => Ok(()),
                Ok(response) => {
                    Err(format!("its health endpoint responds with {}", response.status))
                }
                Err(error) => Err(error.to_string()),
            }
        }))
}

/// Returns a program that runs one of its modules, with all of its files below `root`.
fn program(root: &Path, module: &str) -> Program {
    Program::new("localstack", VENV.program("python"), root)
        .args(["-m", module])
        .env("OVERRIDE_IN_DOCKER", "0")
        .env("FILESYSTEM_ROOT", root)
}

/// Returns its index file of all services, which is built once, because that takes several seconds and half a gigabyte.
fn index() -> Result<PathBuf> {
    let cached = VENV.folder().join("localstack");
    if !cached.exists() {
        let folder = tempfile::tempdir_in(VENV.folder())
            .context(|| "localstack: create a folder for its index".to_owned())?;
        let root = folder.path().join("root");
        let libraries = paths::create(root.join(LIBRARIES))?;
        program(&root, "localstack.aws.spec").run()?;
        if let Err(error) = fs::rename(&libraries, &cached)
            // Another process may have created it at the same time.
            && !cached.exists()
        {
            return Err(Error::new(format!("create {}: {error}", cached.display())));
        }
    }
    let mut files =
        fs::read_dir(&cached).context(|| format!("read {}", cached.display()))?.flatten();
    files
        .next()
        .map(|file| file.path())
        .ok_or_else(|| Error::new(format!("{} is empty", cached.display())))
}
