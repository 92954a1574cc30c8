//! The shared stack in containers, by `docker-compose.yml`: the same servers at the same addresses, filled in the same way over the network.

use std::fs;
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use self::engine::Container;
use crate::aws::PINNED;
use crate::error::{Context, Error, Result};
use crate::install::{Need, install};
use crate::service::{SERVICES, Service, say};
use crate::{
    CLICKHOUSE, EDGE, HISTORY, LOCALSTACK, MOTO, POSTGRES, RABBIT, REDIS, REDIS2, VAULT, WEBSOCKET,
    demo, place,
};

mod engine;

pub(crate) use engine::Engine;

/// Where each server listens for this machine, and what the other containers call it.
const INSIDE: &[(SocketAddrV4, &str)] = &[
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

/// What this machine needs to fill servers, wherever those run.
const CLIENTS: &[(&str, Need)] = &[
    (
        "postgres",
        Need::Debian { package: "postgresql-client", file: "/usr/lib/postgresql/*/bin/psql" },
    ),
    ("localstack", Need::Pinned(&PINNED)),
    ("moto", Need::Pinned(&PINNED)),
];

/// Longer than the slowest server takes on a busy machine, its image being there.
const HEALTHY_WITHIN: Duration = Duration::from_mins(3);
/// How often the engine is asked, which takes two commands each time.
const EVERY: Duration = Duration::from_millis(250);

/// A text with the addresses in it as a server in a container must write them.
pub(crate) fn seen_inside(text: &str) -> String {
    INSIDE.iter().fold(text.to_owned(), |text, (published, inside)| {
        text.replace(&published.to_string(), inside)
    })
}

/// Starts those of the services that are not up, and fills them; gives those that it had to start.
pub(crate) fn up(engine: &Engine, services: &[&'static Service]) -> Result<Vec<&'static Service>> {
    install(CLIENTS.iter().filter(|(name, _)| has(services, name)).map(|(_, need)| *need))?;
    let containers = engine.containers()?;
    let mut to_start = Vec::new();
    for &service in services {
        match containers.iter().find(|container| container.service == service.name) {
            Some(container)
                if container.is_healthy()
                    && service.is_seeded_in(&container.identity())
                    && !service.follows(&to_start) =>
            {
                say(service, &format!("is up (container {})", container.name()));
            }
            None if service.is_listening() => return Err(service.taken()),
            _ => to_start.push(service),
        }
    }
    if to_start.is_empty() {
        return Ok(to_start);
    }
    if let Err(error) = start(engine, &to_start) {
        // All or nothing, as natively.
        return Err(match remove(engine, &to_start) {
            Ok(()) => error,
            Err(also) => Error::new(format!("{error}\n{also}")),
        });
    }
    Ok(to_start)
}

/// Ends the containers of these services.
pub(crate) fn down(services: &[&'static Service]) -> Result<()> {
    let engine = Engine::running()?;
    if !SERVICES.iter().any(|one| one.is_in_container() && !has(services, one.name)) {
        engine.clean()?;
    }
    remove(&engine, services)?;
    for service in services {
        say(service, "has ended (container)");
    }
    Ok(())
}

/// Writes the demo's configuration for the gateway in a container, which runs as a user that may read only what all may.
pub(crate) fn write_gateway() -> Result<()> {
    let folder = place::make(place::state().join("gateway"))?;
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .context(|| format!("open {} to others", path.display()))
    };
    open(&folder, 0o755)?;
    let config = demo::demo_config();
    for file in [config, place::state().join("role-id"), place::state().join("secret-id")] {
        let text = fs::read_to_string(&file).context(|| format!("read {}", file.display()))?;
        let copy = folder.join(file.file_name().unwrap_or_default());
        fs::write(&copy, seen_inside(&text)).context(|| format!("write {}", copy.display()))?;
        open(&copy, 0o644)?;
    }
    Ok(())
}

fn start(engine: &Engine, services: &[&'static Service]) -> Result<()> {
    // A server that was filled halfway, or filled and restarted, begins anew.
    remove(engine, services)?;
    for service in services {
        say(service, &format!("starts{}", service.place()));
        // From here on, `down` finds it.
        service.record_container("")?;
    }
    let names: Vec<_> = services.iter().map(|service| service.name).collect();
    engine.start(&names)?;
    let containers = wait(engine, services)?;
    for service in services {
        let Some(container) = containers.iter().find(|one| one.service == service.name) else {
            return Err(Error::new(format!("{}: its container is gone", service.name)));
        };
        service.record_container(&container.identity())?;
        (service.seed)(service)?;
        service.record_seeded_container(&container.identity())?;
        say(service, "is up");
    }
    Ok(())
}

/// Waits until all are healthy; one that never will be ends the wait.
fn wait(engine: &Engine, services: &[&'static Service]) -> Result<Vec<Container>> {
    let deadline = Instant::now() + HEALTHY_WITHIN;
    loop {
        let containers: Vec<_> = engine
            .containers()?
            .into_iter()
            .filter(|container| has(services, &container.service))
            .collect();
        if containers.len() == services.len() && containers.iter().all(Container::is_healthy) {
            return Ok(containers);
        }
        let failed = |container: &&Container| container.failure().is_some();
        let late = |container: &&Container| Instant::now() > deadline && !container.is_healthy();
        let found = containers.iter().find(failed).or_else(|| containers.iter().find(late));
        if let Some(container) = found {
            engine.show_log(container)?;
            let why = container.failure().unwrap_or("not healthy in time");
            let service = &container.service;
            return Err(Error::new(format!(
                "{service}: its container is {why}; the end of its log is above"
            )));
        }
        if Instant::now() > deadline {
            return Err(Error::new("the engine made fewer containers than it was asked for"));
        }
        thread::sleep(EVERY);
    }
}

fn remove(engine: &Engine, services: &[&'static Service]) -> Result<()> {
    let containers = engine.containers()?;
    // Followers before their leaders, which Podman would not remove.
    let named = |service: &&'static Service| {
        containers.iter().filter(|container| container.service == service.name)
    };
    engine.remove(services.iter().rev().flat_map(named))?;
    services.iter().try_for_each(|service| service.forget())
}

fn has(services: &[&'static Service], name: &str) -> bool {
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

    /// A file of this workspace.
    fn read(path: &str) -> String {
        fs::read_to_string(place::workspace().join(path)).unwrap()
    }

    /// The lines of a service in the compose file.
    fn service(name: &str) -> String {
        let text = read("docker-compose.yml");
        let begin = format!("\n  {name}:");
        let (_, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("there is no {name}"));
        let lines = rest.lines().skip(1);
        let own = lines.take_while(|line| line.is_empty() || line.starts_with("   "));
        own.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_server_is_in_the_compose_file_at_its_address() {
        for one in SERVICES {
            let inside = INSIDE.iter().find(|(published, _)| Some(published.port()) == one.port);
            assert_eq!(inside.is_some(), one.port.is_some(), "{}", one.name);
            let Some((published, inside)) = inside else { continue };
            let (name, port) = inside.split_once(':').unwrap();
            assert_eq!(name, one.name);
            let publishes = format!("ports: [\"{published}:{port}\"]");
            assert!(service(one.name).contains(&publishes), "{} has no {publishes}", one.name);
        }
        assert!(!service("celery").contains("ports:"));
    }

    #[test]
    fn every_image_has_a_version_and_a_complete_name() {
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
    fn the_users_are_those_of_the_native_stack() {
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
    fn what_servers_are_told_is_what_the_native_ones_are_told() {
        let lists = |name: &str, words: &[&str]| {
            let service = service(name);
            for word in words {
                let quoted = format!("\"{word}\"");
                let listed = |line: &str| line.trim().trim_start_matches("- ") == *word;
                let told = service.contains(&quoted) || service.lines().any(listed);
                assert!(told, "{name} is not told {word}");
            }
        };
        let (user, password) = (rabbit::ADMIN_USER, rabbit::ADMIN_PASSWORD);
        let broker = format!("amqp://{user}:{password}@{RABBIT}/{RABBIT_VHOST}");
        let queues = CELERY_QUEUES.join(",");
        lists("celery", &[&format!("BROKER: {}", seen_inside(&broker))]);
        lists("celery", &["RESULTS: rpc://", &format!("QUEUES: {queues}")]);
        lists("celery", &[&format!("--queues={queues}")]);
        let (user, password) = (postgres::ADMIN_USER, postgres::ADMIN_PASSWORD);
        lists("postgres", &[&format!("POSTGRES_USER: {user}")]);
        lists("postgres", &[&format!("POSTGRES_PASSWORD: {password}")]);
        lists("vault", &[&format!("-dev-root-token-id={}", vault::ROOT_TOKEN)]);
        lists("websocket", &[HEALTH_PASSWORD]);
        lists("edge", &[moto::ALTERNATE_DOMAIN]);
        let (user, password) = (clickhouse::ADMIN_USER, clickhouse::ADMIN_PASSWORD);
        let table = format!("{}.{}", clickhouse::DATABASE, clickhouse::TABLE);
        let database = seen_inside(&CLICKHOUSE.to_string());
        lists("history", &[&database, user, password, &table, history::API_KEY, "work"]);
    }

    #[test]
    fn python_packages_are_of_the_same_versions_in_containers() {
        for (name, needs) in
            [("celery", celery::SERVICE.needs), ("websocket", websocket::SERVICE.needs)]
        {
            let requirement = needs.iter().find_map(|need| match need {
                Need::Python { requirement } => Some(*requirement),
                _ => None,
            });
            let package = format!("PACKAGE: {}", requirement.unwrap());
            assert!(service(name).contains(&package), "{name} has no {package}");
        }
    }

    #[test]
    fn a_server_in_a_container_calls_the_others_by_their_names() {
        let addresses = INSIDE.iter().map(|(published, _)| published.to_string());
        let text = addresses.collect::<Vec<_>>().join(" ");
        let inside = INSIDE.iter().map(|(_, inside)| *inside).collect::<Vec<_>>().join(" ");
        assert_eq!(seen_inside(&text), inside);
        let url = format!("postgres://{HEALTH_USER}@{POSTGRES}/{POSTGRES_DATABASE}");
        assert_eq!(seen_inside(&url), "postgres://health@postgres:5432/app");
    }
}
