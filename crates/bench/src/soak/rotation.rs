//! Rotates passwords, tokens, and configuration files while the gateway runs.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use stack::vault::Vault;
use stack::{HEALTH_PASSWORD, HEALTH_USER, NAMESPACE, ROLE};
use tokio_util::sync::CancellationToken;

use crate::error::{Context, Error, Result};
use crate::findings::Findings;
use crate::soak::gateway::{CONFIG, SoakedGateway};
use crate::soak::servers::Servers;

/// The longest pause between two rotations, in milliseconds.
const MAX_PAUSE: u64 = 4_000;
/// How long a new access token may take to be accepted: Vault's proxy may be faulty for several attempts.
const TOKEN_TIMEOUT: Duration = Duration::from_mins(1);
/// The lifetime of the gateway's tokens of Vault. A token is never revoked if its login response was lost, so it is counted until it expires.
const VAULT_TOKEN_TTL: &str = "1m";
/// The names that the file of the second namespace has alternately.
const OTHER: [&str; 2] = ["other.toml", "renamed.toml"];

/// Rotates everything on the servers of one gateway.
pub(super) struct Rotation<'a> {
    servers: &'a Servers,
    gateway: &'a SoakedGateway,
    findings: Arc<Findings>,
    random: Mutex<StdRng>,
    /// The namespace's current access token.
    token: Arc<Mutex<String>>,
    other_token: String,
    counts: Mutex<[usize; STEPS]>,
}

/// The number of kinds of rotations.
const STEPS: usize = 9;

/// A kind of rotation, with its name in plural for the summary.
type Step<R> = (&'static str, fn(&R) -> Result<()>);

impl<'a> Rotation<'a> {
    /// Replaces the access token of the seed, and writes the file of a second namespace.
    pub(super) fn start(
        servers: &'a Servers,
        gateway: &'a SoakedGateway,
        findings: &Arc<Findings>,
        seed: u64,
    ) -> Result<Self> {
        let rotation = Self {
            servers,
            gateway,
            findings: findings.clone(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            token: Arc::default(),
            other_token: format!("other-{}", "0123456789abcdef".repeat(2)),
            counts: Mutex::default(),
        };
        rotation.findings.plant(HEALTH_PASSWORD);
        rotation.findings.plant(&rotation.other_token);
        let ttl = json!({"token_policies": [ROLE], "token_ttl": VAULT_TOKEN_TTL});
        rotation.vault().api("POST", &format!("auth/approle/role/{ROLE}"), &ttl)?;
        rotation.access_token()?;
        gateway.write("redis-password", HEALTH_PASSWORD)?;
        rotation.other_namespace()?;
        Ok(rotation)
    }

    /// The namespace's current access token.
    pub(super) fn token(&self) -> String {
        self.token.lock().clone()
    }

    /// The current access token, for the callers.
    pub(super) fn shared_token(&self) -> Arc<Mutex<String>> {
        self.token.clone()
    }

    pub(super) fn other_token(&self) -> &str {
        &self.other_token
    }

    fn steps() -> [Step<Self>; STEPS] {
        [
            ("PostgreSQL passwords", Self::postgres),
            ("Redis passwords", Self::redis),
            ("RabbitMQ passwords", Self::rabbit),
            ("AWS keys", Self::aws),
            ("AppRole secrets", Self::app_role),
            ("access tokens", Self::access_token),
            ("configurations", Self::configuration),
            ("files of another namespace", Self::other_namespace),
            ("invalid files", Self::invalid_file),
        ]
    }

    /// Rotates one at a time until it is stopped.
    pub(super) fn run(&self, stopped: &CancellationToken) {
        while !stopped.is_cancelled() {
            let (at, pause) = {
                let mut random = self.random.lock();
                (random.random_range(0..STEPS), random.random_range(0..MAX_PAUSE))
            };
            let (name, step) = Self::steps()[at];
            if let Err(error) = step(self) {
                self.findings.report(format!("rotate {name}: {error}"));
            }
            self.counts.lock()[at] += 1;
            // A signal also makes the gateway read everything again, possibly during another reload.
            if pause % 4 == 0 {
                self.gateway.reload();
            }
            thread::sleep(Duration::from_millis(pause));
        }
    }

    /// Returns the number of rotations as one line.
    pub(super) fn summary(&self) -> String {
        let counts = *self.counts.lock();
        let counts = Self::steps()
            .into_iter()
            .zip(counts)
            .map(|((name, _), count)| format!("{count} {name}"));
        format!("rotated {}", counts.collect::<Vec<_>>().join(", "))
    }

    fn vault(&self) -> &Vault {
        &self.servers.vault
    }

    fn write_secret(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let path = format!("secret/data/{NAMESPACE}/{name}");
        self.vault().api("POST", &path, &json!({"data": {key: value}})).map(drop)
    }

    /// Returns a new secret, and plants it. Some of its characters must be encoded in a URL.
    fn password(&self) -> String {
        format!("a@/?#%{}:b", self.random_secret())
    }

    fn random_secret(&self) -> String {
        let secret = format!("{:032x}", self.random.lock().random::<u128>());
        self.findings.plant(&secret);
        secret
    }

    fn postgres(&self) -> Result<()> {
        let password = self.password();
        let sql = format!("ALTER ROLE {HEALTH_USER} PASSWORD '{password}'");
        self.servers.postgres.sql("postgres", &sql)?;
        self.write_secret("postgres", "password", &password)
    }

    fn redis(&self) -> Result<()> {
        let password = self.password();
        self.servers.set_redis_password(&password)?;
        self.gateway.write("redis-password", &password)?;
        self.write_secret("redis", "password", &password)
    }

    fn rabbit(&self) -> Result<()> {
        let password = self.password();
        self.servers.rabbit.ctl(&["change_password", HEALTH_USER, &password])?;
        self.write_secret("rabbit", "password", &password)
    }

    /// The servers of AWS's API accept any key.
    fn aws(&self) -> Result<()> {
        self.write_secret("aws", "secret_access_key", &self.random_secret())
    }

    /// Replaces the `AppRole`'s secret, after which the gateway logs in again.
    fn app_role(&self) -> Result<()> {
        let path = format!("auth/approle/role/{ROLE}/secret-id");
        let response = self.vault().api("POST", &path, &json!({}))?;
        let new = response["data"]["secret_id"].as_str().ok_or("no secret").context("AppRole")?;
        self.findings.plant(new);
        let old = fs::read_to_string(self.gateway.file("secret-id")).context("secret-id")?;
        self.gateway.write("secret-id", new)?;
        self.vault().api("POST", &format!("{path}/destroy"), &json!({"secret_id": old})).map(drop)
    }

    /// Replaces the access token, and waits until the new one is accepted.
    fn access_token(&self) -> Result<()> {
        let token = self.random_secret();
        self.write_secret("health", "access_token", &token)?;
        let deadline = Instant::now() + TOKEN_TIMEOUT;
        while self.gateway.status(&token)? != 200 {
            if Instant::now() > deadline {
                return Err(Error::new("the new token is not accepted"));
            }
            thread::sleep(Duration::from_secs(1));
        }
        *self.token.lock() = token;
        Ok(())
    }

    /// Changes a setting in the file.
    fn configuration(&self) -> Result<()> {
        let text = fs::read_to_string(self.gateway.file(CONFIG)).context(CONFIG)?;
        let (old, new) = ("\nmax_age = \"0s\"\n", "\nmax_age = \"1s\"\n");
        let text = match (text.contains(old), text.contains(new)) {
            (true, _) => text.replace(old, new),
            (_, true) => text.replace(new, "\n"),
            _ => text.replacen("\ntimeout", &format!("{old}timeout"), 1),
        };
        self.gateway.write(CONFIG, &text)
    }

    /// Adds, renames or removes the file of a second namespace.
    fn other_namespace(&self) -> Result<()> {
        let [first, second] = OTHER.map(|name| self.gateway.file(name));
        if first.exists() {
            return fs::rename(first, second).context("rename a file");
        }
        if second.exists() {
            return fs::remove_file(second).context("remove a file");
        }
        let (token, redis) = (&self.other_token, self.servers.redis_proxy()?);
        let url = format!("redis://{HEALTH_USER}:${{file:redis-password}}@{redis}/0");
        let text = format!(
            "namespace = \"other\"\naccess_token = \"{token}\"\ntimeout = \"2s\"\nanswer_timeout = \"5s\"\n[redis]\nurl = \"{url}\"\n"
        );
        self.gateway.write(OTHER[0], &text)
    }

    /// Writes an invalid file, and removes it after it was probably read.
    fn invalid_file(&self) -> Result<()> {
        let text = format!("namespace = \"{}\"\naccess_token = [", self.random_secret());
        self.gateway.write("invalid.toml", &text)?;
        thread::sleep(Duration::from_millis(self.random.lock().random_range(0..MAX_PAUSE)));
        fs::remove_file(self.gateway.file("invalid.toml")).context("remove a file")
    }
}
