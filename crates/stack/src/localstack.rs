//! localstack, which is S3 and `EventBridge`: in the shared stack, and as a test's private server.
//!
//! It takes any credentials; a server that checks them is [`crate::moto::Moto`].

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::aws::{Aws, PINNED, REGION};
use crate::error::{Context, Error, Result};
use crate::http::request;
use crate::install::Need;
use crate::program::Program;
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{place, port};

mod bus;

pub use bus::{BUS, Bus, CONNECTION, DESTINATION, RULE, SOURCES};

/// The bucket of the application.
pub const APP_BUCKET: &str = "app-files";
/// The bucket of the history.
pub const HISTORY_BUCKET: &str = "history-files";

/// Where it looks for files that are made once, below its root.
const LIBRARIES: &str = "usr/lib/localstack";

pub(crate) const SERVICE: Service = Service {
    name: "localstack",
    port: Some(crate::LOCALSTACK.port()),
    needs: &[Need::Pinned(&PINNED)],
    prepare: |_, home| prepare(home, crate::LOCALSTACK.port()),
    seed: |service| {
        let aws = Aws::at(crate::LOCALSTACK.into());
        make_buckets(&aws)?;
        Bus::make(&aws, &service.sees(crate::HISTORY)).map(drop)
    },
    stop: Signal::KILL,
};

/// A private localstack with the two buckets.
pub struct Localstack {
    /// The process, to be paused, stopped and restarted (which empties it).
    pub server: Server,
    /// Its API.
    pub aws: Aws,
    port: u16,
    _folder: TempDir,
}

impl Localstack {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("localstack")?;
        let server = Server::start(prepare(&folder.path().join("data"), port)?)?;
        let aws = Aws::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        make_buckets(&aws)?;
        Ok(Self { server, aws, port, _folder: folder })
    }

    /// The port on 127.0.0.1, of S3 and `EventBridge` alike.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes the bus, whose events go to the history service on this port of 127.0.0.1.
    pub fn bus(&self, history: u16) -> Result<Bus<'_>> {
        Bus::make(&self.aws, &format!("127.0.0.1:{history}"))
    }

    /// The names of all objects in a bucket.
    pub fn objects(&self, bucket: &str) -> Result<Vec<String>> {
        objects(&self.aws, bucket)
    }
}

/// The names of all objects in a bucket.
pub fn objects(aws: &Aws, bucket: &str) -> Result<Vec<String>> {
    let list = aws.call("s3", "list_objects_v2", &json!({"Bucket": bucket}))?;
    let objects = list["Contents"].as_array().into_iter().flatten();
    Ok(objects.filter_map(|object| object["Key"].as_str().map(str::to_owned)).collect())
}

/// The shared server's address, once `cargo xtask up` has started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}

/// Makes the two buckets.
pub(crate) fn make_buckets(aws: &Aws) -> Result<()> {
    let place = json!({"LocationConstraint": REGION});
    [APP_BUCKET, HISTORY_BUCKET].into_iter().try_for_each(|bucket| {
        let bucket = json!({"Bucket": bucket, "CreateBucketConfiguration": place});
        aws.call("s3", "create_bucket", &bucket).map(drop)
    })
}

fn prepare(home: &Path, port: u16) -> Result<Program> {
    place::fresh(home)?;
    let index = index()?;
    let libraries = place::make(home.join(LIBRARIES))?;
    fs::copy(&index, libraries.join(index.file_name().unwrap_or_default()))
        .context(|| format!("copy {}", index.display()))?;
    let address = format!("127.0.0.1:{port}");
    Ok(program(home, "localstack.runtime.main")
        .env("GATEWAY_LISTEN", &address)
        // Its other server may listen on every interface.
        .env("GATEWAY_SERVER", "hypercorn")
        .env("LOCALSTACK_HOST", &address)
        .env("SERVICES", "s3,events,sts,secretsmanager")
        // It reports to its makers unless told otherwise, and serves DNS.
        .env("DISABLE_EVENTS", "1")
        .env("SKIP_SSL_CERT_DOWNLOAD", "1")
        .env("DNS_ADDRESS", "0")
        .ready(move || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match request(address, "GET", "/_localstack/health", &[], "") {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("its health answers {}", answer.status)),
                Err(error) => Err(error.to_string()),
            }
        }))
}

/// One of its modules, with everything that it writes below `root`.
fn program(root: &Path, module: &str) -> Program {
    Program::new("localstack", PINNED.program("python"), root)
        .args(["-m", module])
        .env("OVERRIDE_IN_DOCKER", "0")
        .env("FILESYSTEM_ROOT", root)
}

/// The file of its index of all services, made once: doing so takes several seconds and half a gigabyte.
fn index() -> Result<PathBuf> {
    let kept = PINNED.folder().join("localstack");
    if !kept.exists() {
        let folder = tempfile::tempdir_in(PINNED.folder())
            .context(|| "localstack: create a folder for its index".to_owned())?;
        let root = folder.path().join("root");
        let libraries = place::make(root.join(LIBRARIES))?;
        program(&root, "localstack.aws.spec").run()?;
        if let Err(error) = fs::rename(&libraries, &kept)
            // Somebody else may have made it at the same time.
            && !kept.exists()
        {
            return Err(Error::new(format!("create {}: {error}", kept.display())));
        }
    }
    let mut files = fs::read_dir(&kept).context(|| format!("read {}", kept.display()))?.flatten();
    files
        .next()
        .map(|file| file.path())
        .ok_or_else(|| Error::new(format!("{} is empty", kept.display())))
}
