//! Runs the shared stack in the containers of `docker-compose.yml`.
//!
//! The servers have the same addresses as native ones, and are seeded in the same way, over the network.

use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use self::engine::Container;
use crate::aws::VENV;
use crate::error::{Context, Error, Result};
use crate::install::{Dependency, install};
use crate::service::{SERVICES, Service, report};
use crate::{
    CLICKHOUSE, EDGE, HISTORY, LOCALSTACK, MOTO, POSTGRES, RABBIT, REDIS, REDIS2, VAULT, WEBSOCKET,
    demo, paths,
};

mod engine;

pub(crate) use engine::Engine;

/// The address of each server on this machine, and its address for the other containers.
const CONTAINER_ADDRESSES: &[(SocketAddrV4, &str)] = &[
    (POSTGRES, "postgres:5432"),
    (REDIS, "redis:6379"),
    (REDIS2, "redis2:6379"),
    (RABBIT, "rabbit:5672"),
    (VAULT, "vault:8200"),
    (WEBSOCKET, "websocket:8080"),
    (CLICKHOUSE, "clickhouse:8123"),
    (LOCALSTACK, "localstack:4566"),
    (MOTO, "moto:5000"),
    (HISTORY, "history:8080"),
    (EDGE, "edge:8080"),
];

/// What must be installed on this machine to seed each server.
const CLIENTS: &[(&str, Dependency)] = &[
    (
        "postgres",
        Dependency::Debian { package: "postgresql-client", file: "/usr/lib/postgresql/*/bin/psql" },
    ),
    ("localstack", Dependency::Pinned(&VENV)),
    ("moto", Dependency::Pinned(&VENV)),
];

/// Longer than the slowest server takes to start on a busy machine, without the pull of its image.
const HEALTHY_TIMEOUT: Duration = Duration::from_mins(3);
/// How often the state of the containers is polled, which takes two commands each time.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Replaces the addresses in `text` with the addresses of the servers on the containers' network.
pub(crate) fn with_container_addresses(text: &str) -> String {
    CONTAINER_ADDRESSES.iter().fold(text.to_owned(), |text, (published, internal)| {
        text.replace(&published.to_string(), internal)
    })
}

/// Starts and seeds the services that are not up, and returns them.
pub(crate) fn up(engine: &Engine, services: &[&'static Service]) -> Result<Vec<&'static Service>> {
    install(CLIENTS.iter().filter(|(name, _)| contains(services, name)).map(|(_, need)| *need))?;
    let containers = engine.containers()?;
    let mut to_start = Vec::new();
    for &service in services {
        match containers.iter().find(|container| container.service == service.name) {
            Some(container)
                if container.is_healthy()
                    && service.is_seeded_in(&container.identity())
                    && !service.restarts_with(&to_start) =>
            {
                report(service, &format!("is up (container {})", container.short_id()));
            }
            None if service.is_listening() => return Err(service.port_taken()),
            _ => to_start.push(service),
        }
    }
    if to_start.is_empty() {
        return Ok(to_start);
    }
    if let Err(error) = start(engine, &to_start) {
        // A failed run leaves no servers behind, as with native ones.
        return Err(match remove(engine, &to_start) {
            Ok(()) => error,
            Err(second) => Error::new(format!("{error}\n{second}")),
        });
    }
    Ok(to_start)
}

/// Stops and removes the containers of these services.
pub(crate) fn down(services: &[&'static Service]) -> Result<()> {
    let engine = Engine::running()?;
    if !SERVICES.iter().any(|one| one.is_in_container() && !contains(services, one.name)) {
        engine.down()?;
    }
    remove(&engine, services)?;
    for service in services {
        report(service, "stopped (container)");
    }
    Ok(())
}

/// Writes the demo's configuration for the gateway in a container.
///
/// The files are world-readable, because the container runs as another user.
pub(crate) fn write_gateway_config() -> Result<()> {
    let folder = paths::create(paths::state().join("gateway"))?;
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .context(|| format!("chmod {}", path.display()))
    };
    set_mode(&folder, 0o755)?;
    let config = demo::demo_config();
    for file in [config, paths::state().join("role-id"), paths::state().join("secret-id")] {
        let text = fs::read_to_string(&file).context(|| format!("read {}", file.display()))?;
        let copy = folder.join(file.file_name().unwrap_or_default());
        fs::write(&copy, with_container_addresses(&text))
            .context(|| format!("write {}", copy.display()))?;
        set_mode(&copy, 0o644)?;
    }
    Ok(())
}

fn start(engine: &Engine, services: &[&'static Service]) -> Result<()> {
    // A server that was not seeded completely, or restarted since, is created again.
    remove(engine, services)?;
    for service in services {
        report(service, &format!("starting{}", service.port_suffix()));
        // From here on, `down` finds the container.
        service.record_container("")?;
    }
    let names: Vec<_> = services.iter().map(|service| service.name).collect();
    engine.start(&names)?;
    let containers = wait_until_healthy(engine, services)?;
    for service in services {
        let Some(container) = containers.iter().find(|one| one.service == service.name) else {
            return Err(Error::new(format!("{}: its container has disappeared", service.name)));
        };
        service.record_container(&container.identity())?;
        (service.seed)(service)?;
        service.record_seeded_container(&container.identity())?;
        report(service, "is up");
    }
    Ok(())
}

/// Waits until the containers of all services are healthy, or until one of them has failed.
fn wait_until_healthy(engine: &Engine, services: &[&'static Service]) -> Result<Vec<Container>> {
    let deadline = Instant::now() + HEALTHY_TIMEOUT;
    loop {
        let containers: Vec<_> = engine
            .containers()?
            .into_iter()
            .filter(|container| contains(services, &container.service))
            .collect();
        if containers.len() == services.len() && containers.iter().all(Container::is_healthy) {
            return Ok(containers);
        }
        let failed = |container: &&Container| container.failure().is_some();
        let timed_out =
            |container: &&Container| Instant::now() > deadline && !container.is_healthy();
        let first = containers.iter().find(failed).or_else(|| containers.iter().find(timed_out));
        if let Some(container) = first {
            engine.show_log(container)?;
            let state = container.failure().unwrap_or("not healthy in time");
            let service = &container.service;
            return Err(Error::new(format!(
                "{service}: its container is {state}; the end of its log is above"
            )));
        }
        if Instant::now() > deadline {
            return Err(Error::new("the engine created fewer containers than expected"));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn remove(engine: &Engine, services: &[&'static Service]) -> Result<()> {
    let containers = engine.containers()?;
    // Podman does not remove a container before those that depend on it.
    let of_service = |service: &&'static Service| {
        containers.iter().filter(|container| container.service == service.name)
    };
    engine.remove(services.iter().rev().flat_map(of_service))?;
    services.iter().try_for_each(|service| service.remove_record())
}

fn contains(services: &[&'static Service], name: &str) -> bool {
    services.iter().any(|service| service.name == name)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        CELERY_QUEUES, HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE, RABBIT_VHOST, celery,
        clickhouse, history, moto, postgres, rabbit, redis, vault, websocket,
    };

    /// Reads a file of this workspace.
    fn read(path: &str) -> String {
        fs::read_to_string(paths::workspace().join(path)).unwrap()
    }

    /// Returns the lines of a service in the compose file.
    fn service(name: &str) -> String {
        let text = read("docker-compose.yml");
        let header = format!("\n  {name}:");
        let (_, rest) = text.split_once(&header).unwrap_or_else(|| panic!("there is no {name}"));
        let lines = rest.lines().skip(1);
        let own = lines.take_while(|line| line.is_empty() || line.starts_with("   "));
        own.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_server_is_in_the_compose_file_at_its_address() {
        for one in SERVICES {
            let internal = CONTAINER_ADDRESSES
                .iter()
                .find(|(published, _)| Some(published.port()) == one.port);
            assert_eq!(internal.is_some(), one.port.is_some(), "{}", one.name);
            let Some((published, internal)) = internal else { continue };
            let (name, port) = internal.split_once(':').unwrap();
            assert_eq!(name, one.name);
            let publishes = format!("ports: [\"{published}:{port}\"]");
            assert!(service(one.name).contains(&publishes), "{} has no {publishes}", one.name);
        }
        assert!(!service("celery").contains("ports:"));
    }

    #[test]
    fn every_image_has_a_registry_and_an_exact_version() {
        let file = read("docker-compose.yml") + &read("deploy/compose/python.Dockerfile");
        let names: Vec<_> = file
            .lines()
            .filter_map(|line| {
                let line = line.trim();
                line.strip_prefix("image: ").or_else(|| line.strip_prefix("FROM "))
            })
            .collect();
        assert!(names.len() > 8, "{names:?}");
        for name in names {
            let (image, version) = name.rsplit_once(':').unwrap();
            assert!(image.starts_with("docker.io/"), "{name}");
            let numbers = version.split(['.', '-']).take_while(|part| part.parse::<u32>().is_ok());
            assert!(numbers.count() >= 2, "{name}");
        }
    }

    #[test]
    fn containers_have_the_users_of_the_native_stack() {
        let conf = read("deploy/compose/redis.conf");
        assert!(conf.ends_with(&format!("\n{}\n", redis::users())), "expected {}", redis::users());
        let definitions = read("deploy/compose/definitions.json");
        let [ours, native]: [Value; 2] = [definitions, rabbit::definitions_json().unwrap()]
            .map(|text| serde_json::from_str(&text).unwrap());
        assert_eq!(ours, native);
        let users = read("deploy/compose/clickhouse-users.xml");
        let users: String = users.lines().map(str::trim).collect();
        for (name, password) in
            [(clickhouse::ADMIN_USER, clickhouse::ADMIN_PASSWORD), (HEALTH_USER, HEALTH_PASSWORD)]
        {
            let user = format!("<{name}><password>{password}</password>");
            assert!(users.contains(&user), "there is no {user}");
        }
        let only = format!("<allow_databases><database>{}</database>", clickhouse::DATABASE);
        assert!(users.contains(&only), "there is no {only}");
    }

    #[test]
    fn containers_have_the_settings_of_the_native_stack() {
        let assert_lists = |name: &str, settings: &[&str]| {
            let service = service(name);
            for setting in settings {
                let quoted = format!("\"{setting}\"");
                let listed = |line: &str| line.trim().trim_start_matches("- ") == *setting;
                let found = service.contains(&quoted) || service.lines().any(listed);
                assert!(found, "{name} has no {setting}");
            }
        };
        let (user, password) = (rabbit::ADMIN_USER, rabbit::ADMIN_PASSWORD);
        let broker = format!("amqp://{user}:{password}@{RABBIT}/{RABBIT_VHOST}");
        let queues = CELERY_QUEUES.join(",");
        assert_lists("celery", &[&format!("BROKER: {}", with_container_addresses(&broker))]);
        assert_lists("celery", &["RESULTS: rpc://", &format!("QUEUES: {queues}")]);
        assert_lists("celery", &[&format!("--queues={queues}")]);
        let (user, password) = (postgres::ADMIN_USER, postgres::ADMIN_PASSWORD);
        assert_lists("postgres", &[&format!("POSTGRES_USER: {user}")]);
        assert_lists("postgres", &[&format!("POSTGRES_PASSWORD: {password}")]);
        assert_lists("vault", &[&format!("-dev-root-token-id={}", vault::ROOT_TOKEN)]);
        assert_lists("websocket", &[HEALTH_PASSWORD]);
        assert_lists("edge", &[moto::ALTERNATE_DOMAIN]);
        let (user, password) = (clickhouse::ADMIN_USER, clickhouse::ADMIN_PASSWORD);
        let table = format!("{}.{}", clickhouse::DATABASE, clickhouse::TABLE);
        let database = with_container_addresses(&CLICKHOUSE.to_string());
        assert_lists("history", &[&database, user, password, &table, history::API_KEY, "work"]);
    }

    #[test]
    fn containers_have_the_python_versions_of_the_native_stack() {
        for (name, dependencies) in [
            ("celery", celery::SERVICE.dependencies),
            ("websocket", websocket::SERVICE.dependencies),
        ] {
            let requirement = dependencies.iter().find_map(|dependency| match dependency {
                Dependency::Python { requirement } => Some(*requirement),
                _ => None,
            });
            let package = format!("PACKAGE: {}", requirement.unwrap());
            assert!(service(name).contains(&package), "{name} has no {package}");
        }
    }

    #[test]
    fn addresses_become_those_of_the_containers_network() {
        let addresses = CONTAINER_ADDRESSES.iter().map(|(published, _)| published.to_string());
        let text = addresses.collect::<Vec<_>>().join(" ");
        let internal =
            CONTAINER_ADDRESSES.iter().map(|(_, internal)| *internal).collect::<Vec<_>>().join(" ");
        assert_eq!(with_container_addresses(&text), internal);
        let url = format!("postgres://{HEALTH_USER}@{POSTGRES}/{POSTGRES_DATABASE}");
        assert_eq!(with_container_addresses(&url), "postgres://health@postgres:5432/app");
    }
}
