//! Credentials that are not in the configuration. The SDK finds them in the environment, so each test runs its check in a process of its own.

use std::env;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use probe_testkit::run;
use stack::aws::REGION;
use stack::localstack::APP_BUCKET;
use stack::moto::Moto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{PATIENCE, check, outcome};

/// Set in the process that runs the check.
const SERVER: &str = "SERVER_OF_THE_CHECK";

/// The address of the server, in the process that is to check it.
fn server_to_check() -> Option<String> {
    env::var(SERVER).ok()
}

fn lines(server: &str) -> String {
    format!(
        "bucket = '{APP_BUCKET}'\naccess = ['list']\nendpoint_url = 'http://{server}'\nregion = '{REGION}'\npath_style = true\n"
    )
}

/// Runs the test `name` once more, in a process with this environment and no other.
async fn in_a_process_of_its_own(name: &str, server: SocketAddr, environment: &[(&str, &str)]) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env_clear().env(SERVER, server.to_string());
    command.env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().copied());
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn keys_come_from_the_environment() {
    if let Some(server) = server_to_check() {
        return outcome(&lines(&server)).await.expect_working();
    }
    let (moto, keys) = Moto::start_checking(&["s3:ListBucket"]).unwrap();
    let environment =
        [("AWS_ACCESS_KEY_ID", keys.id.as_str()), ("AWS_SECRET_ACCESS_KEY", &keys.secret)];
    let at = ([127, 0, 0, 1], moto.port()).into();
    in_a_process_of_its_own("chain::keys_come_from_the_environment", at, &environment).await;
}

#[tokio::test]
async fn keys_come_from_a_profile() {
    if let Some(server) = server_to_check() {
        let lines = format!("{}profile = 'health'\n", lines(&server));
        return outcome(&lines).await.expect_working();
    }
    let (moto, keys) = Moto::start_checking(&["s3:ListBucket"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let profile = format!(
        "[health]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        keys.id, keys.secret
    );
    std::fs::write(&file, profile).unwrap();
    let environment = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())];
    let at = ([127, 0, 0, 1], moto.port()).into();
    in_a_process_of_its_own("chain::keys_come_from_a_profile", at, &environment).await;
}

#[tokio::test]
async fn no_credentials_anywhere_is_told_with_the_places() {
    if let Some(server) = server_to_check() {
        let outcome = outcome(&lines(&server)).await;
        let expected = format!(
            "authenticate: no credentials found: neither in the configuration, nor in the environment, a profile, a web identity, a container or the machine's metadata ({server})"
        );
        return assert_eq!(outcome.line(), expected);
    }
    let at = ([127, 0, 0, 1], 1).into();
    in_a_process_of_its_own("chain::no_credentials_anywhere_is_told_with_the_places", at, &[])
        .await;
}

#[tokio::test]
async fn a_silent_metadata_service_is_not_waited_for_long() {
    if let Some(server) = server_to_check() {
        let outcome = outcome(&lines(&server)).await;
        return assert!(outcome.line().starts_with("authenticate: no credentials found: "));
    }
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", silent.local_addr().unwrap());
    in_a_process_of_its_own(
        "chain::a_silent_metadata_service_is_not_waited_for_long",
        ([127, 0, 0, 1], 1).into(),
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &uri), ("AWS_EC2_METADATA_DISABLED", "false")],
    )
    .await;
}

/// The container's credentials are `KEY1`, then `KEY2` and so on; the bucket's server knows `KEY1` for three requests only.
#[tokio::test]
async fn credentials_of_a_container_are_kept_until_they_are_refused() {
    if let Some(server) = server_to_check() {
        let check = check(&lines(&server));
        for _ in 0..6 {
            run(&check, PATIENCE).await.expect_working();
        }
        return;
    }
    let given = Arc::new(AtomicUsize::new(0));
    let of_the_container = given.clone();
    let container = serve(move |_| {
        let number = of_the_container.fetch_add(1, Ordering::SeqCst) + 1;
        let keys = format!(
            "{{\"AccessKeyId\":\"KEY{number}\",\"SecretAccessKey\":\"secret\",\"Token\":\"token\",\"Expiration\":\"2099-01-01T00:00:00Z\"}}"
        );
        ("200 OK", keys)
    })
    .await;
    let asked = AtomicUsize::new(0);
    let bucket = serve(move |request| {
        let is_known = asked.fetch_add(1, Ordering::SeqCst) < 3 || !request.contains("=KEY1/");
        if is_known {
            let list = format!("<ListBucketResult><Name>{APP_BUCKET}</Name></ListBucketResult>");
            return ("200 OK", list);
        }
        ("403 Forbidden", "<Error><Code>InvalidAccessKeyId</Code></Error>".to_owned())
    })
    .await;
    let uri = format!("http://{container}/");
    in_a_process_of_its_own(
        "chain::credentials_of_a_container_are_kept_until_they_are_refused",
        bucket,
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri)],
    )
    .await;
    assert_eq!(given.load(Ordering::SeqCst), 2);
}

/// A server that answers each request's head with a status and a body.
async fn serve(
    answer: impl Fn(&str) -> (&'static str, String) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move { converse(stream, answer.as_ref()).await });
        }
    });
    address
}

async fn converse(
    mut stream: TcpStream,
    answer: &(impl Fn(&str) -> (&'static str, String) + Sync),
) {
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await.unwrap() > 0 {
        if head.ends_with(b"\r\n\r\n") {
            let (status, body) = answer(&String::from_utf8_lossy(&head));
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            head.clear();
        }
    }
}
